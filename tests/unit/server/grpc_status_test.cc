#include "server/grpc/grpc_status.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

template <typename Detail>
std::optional<Detail> Find(const google::rpc::Status& status) {
  for (const auto& any : status.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

// The error table, row by row: code, reason, and which details come along.
struct Row {
  const char* name;
  Status status;
  int code;
  const char* reason;
  bool bad_request, retry, quota, resource, precondition;
};

class ErrorTable : public testing::TestWithParam<Row> {};

TEST_P(ErrorTable, DetailsOfTheRow) {
  const Row& row = GetParam();
  const google::rpc::Status rpc = ToRpcStatus(row.status, "req-1");
  EXPECT_EQ(rpc.code(), row.code);
  ASSERT_TRUE(Find<google::rpc::ErrorInfo>(rpc));
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(rpc)->domain(), "bitrate.dev");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(rpc)->reason(), row.reason);
  ASSERT_TRUE(Find<google::rpc::RequestInfo>(rpc));
  EXPECT_EQ(Find<google::rpc::RequestInfo>(rpc)->request_id(), "req-1");
  EXPECT_EQ(Find<google::rpc::BadRequest>(rpc).has_value(), row.bad_request);
  EXPECT_EQ(Find<google::rpc::RetryInfo>(rpc).has_value(), row.retry);
  EXPECT_EQ(Find<google::rpc::QuotaFailure>(rpc).has_value(), row.quota);
  EXPECT_EQ(Find<google::rpc::ResourceInfo>(rpc).has_value(), row.resource);
  EXPECT_EQ(Find<google::rpc::PreconditionFailure>(rpc).has_value(), row.precondition);
  EXPECT_LE(rpc.ByteSizeLong(), kMaxErrorDetailBytes);
}

INSTANTIATE_TEST_SUITE_P(
    Errors, ErrorTable,
    testing::Values(
        Row{"model", UnknownModelError("x"), 5, "MODEL_NOT_FOUND", false, false, false, true, false},
        Row{"variant", UnknownVariantError("m", "x"), 5, "VARIANT_NOT_FOUND", false, false, false, true, false},
        Row{"parameter", FieldError("n", "got 0"), 3, "INVALID_FIELD", true, false, false, false, false},
        Row{"context", FieldError("prompt", "too long", "CONTEXT_LENGTH"), 3, "CONTEXT_LENGTH", true, false, false,
            false, false},
        Row{"unimplemented", Unimplemented("constraint"), 12, "UNIMPLEMENTED", false, false, false, false, false},
        Row{"queue_full", BusyError("full", "m:v"), 8, "QUEUE_FULL", false, true, true, false, false},
        Row{"slow_reader", SlowReaderError(9), 8, "SLOW_READER", false, false, true, false, false},
        Row{"not_ready", VariantNotReadyError("m", "v"), 14, "VARIANT_NOT_READY", false, true, false, false, false},
        Row{"draining", DrainingError(), 14, "DRAINING", false, true, false, false, false},
        Row{"deadline", DeadlineExceeded("passed"), 4, "DEADLINE_EXCEEDED", false, false, false, false, false},
        Row{"cancelled", Cancelled("gone"), 1, "CANCELLED", false, false, false, false, false},
        Row{"in_use", WithDetail(FailedPrecondition("in use"), {.reason = "VARIANT_IN_USE", .precondition_type = "T"}),
            9, "VARIANT_IN_USE", false, false, false, false, true},
        Row{"fault", FromEngine(Internal("x"), "m", "v"), 13, "ENGINE_FAILURE", false, false, false, false, false},
        Row{"unknown_becomes_internal", MakeStatus(StatusCode::kUnknown, "?"), 13, "INTERNAL", false, false, false,
            false, false}),
    [](const auto& info) { return info.param.name; });

TEST(GrpcStatus, DetailsStayUnderTheMetadataLimit) {
  std::vector<FieldViolation> fields;
  for (int i = 0; i < 500; ++i) fields.push_back({std::string(300, 'f'), std::string(5000, 'd')});
  const google::rpc::Status rpc = ToRpcStatus(FieldErrors(fields), std::string(5000, 'r'));
  EXPECT_LE(rpc.ByteSizeLong(), kMaxErrorDetailBytes);
  EXPECT_GE(Find<google::rpc::BadRequest>(rpc)->field_violations_size(), 1);
}

TEST(GrpcStatus, MessagesAreCutBetweenCharacters) {
  std::string text(1023, 'a');
  text += "\xe2\x82\xac";  // a euro sign across the cut
  const google::rpc::Status rpc = ToRpcStatus(MakeStatus(StatusCode::kInvalidArgument, text), "r");
  EXPECT_EQ(rpc.message(), std::string(1023, 'a') + "...");
}

TEST(GrpcStatus, CarriesTheDetailsAsBytes) {
  const grpc::Status status = ToGrpcStatus(FieldError("n", "got 0"), "r", nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::Status rpc;
  ASSERT_TRUE(rpc.ParseFromString(status.error_details()));
  EXPECT_EQ(Find<google::rpc::BadRequest>(rpc)->field_violations(0).field(), "n");
  EXPECT_TRUE(ToGrpcStatus(OkStatus(), "r", nullptr).ok());
}

}  // namespace
}  // namespace bitrate
