#include "server/api_error.h"

#include <gtest/gtest.h>

namespace bitrate {
namespace {

TEST(ApiError, DetailTravelsWithTheStatus) {
  ErrorDetail detail;
  detail.reason = "R";
  detail.fields = {{"a.b", "got 1"}, {"c", "got \xff"}};
  detail.retry_delay_ms = 7;
  detail.quota_subject = "q";
  detail.resource_type = "t";
  detail.resource_name = "n";
  detail.precondition_type = "p";
  detail.precondition_subject = "s";
  const ErrorDetail back = GetDetail(WithDetail(Unavailable("x"), detail));
  EXPECT_EQ(back.reason, "R");
  ASSERT_EQ(back.fields.size(), 2u);
  EXPECT_EQ(back.fields[0].field, "a.b");
  EXPECT_EQ(back.fields[1].description, "got \xef\xbf\xbd");  // what is not UTF-8 becomes U+FFFD
  EXPECT_EQ(back.retry_delay_ms, 7);
  EXPECT_EQ(back.quota_subject, "q");
  EXPECT_EQ(back.resource_type, "t");
  EXPECT_EQ(back.resource_name, "n");
  EXPECT_EQ(back.precondition_type, "p");
  EXPECT_EQ(back.precondition_subject, "s");
  EXPECT_TRUE(GetDetail(OkStatus()).reason.empty());
  EXPECT_TRUE(WithDetail(OkStatus(), detail).ok());
}

// The rule for retries: only what may pass by itself.
TEST(ApiError, OnlyBusyAndUnreadyAreRetryable) {
  EXPECT_TRUE(GetDetail(BusyError("queue", "q")).retry_delay_ms);
  EXPECT_TRUE(GetDetail(VariantNotReadyError("m", "v")).retry_delay_ms);
  EXPECT_TRUE(GetDetail(DrainingError()).retry_delay_ms);
  EXPECT_FALSE(GetDetail(SlowReaderError(1)).retry_delay_ms);
  EXPECT_FALSE(GetDetail(FieldError("f", "d")).retry_delay_ms);
  EXPECT_FALSE(GetDetail(UnknownModelError("m")).retry_delay_ms);
}

TEST(ApiError, EngineErrorsGetTheirRow) {
  const Status busy = FromEngine(ResourceExhausted("the queue is full"), "m", "v");
  EXPECT_EQ(busy.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetail(busy).quota_subject, "m:v");
  EXPECT_TRUE(GetDetail(FromEngine(Unavailable("draining"), "m", "v")).retry_delay_ms);
  EXPECT_EQ(GetDetail(FromEngine(InvalidArgument("stop.max_tokens: got 9"), "m", "v")).fields.at(0).field,
            "stop.max_tokens");
  EXPECT_TRUE(FromEngine(OkStatus(), "m", "v").ok());
  EXPECT_EQ(FromEngine(Cancelled("x"), "m", "v").code(), StatusCode::kCancelled);
  // An error that has its row keeps it.
  EXPECT_EQ(GetDetail(FromEngine(UnknownVariantError("m", "v"), "m", "v")).reason, "VARIANT_NOT_FOUND");
}

TEST(ApiError, OurFaultsNeverQuoteTheRequest) {
  for (const StatusCode code : {StatusCode::kInternal, StatusCode::kUnknown, StatusCode::kDataLoss}) {
    const Status status = FromEngine(MakeStatus(code, "NaN after the secret prompt"), "m", "v");
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(status.message().find("secret"), absl::string_view::npos);
  }
}

TEST(ApiError, SeveralFieldsAreOneError) {
  const Status status = FieldErrors({{"n", "got 0"}, {"priority", "got 9"}});
  EXPECT_EQ(status.message(), "n: got 0; priority: got 9");
  EXPECT_EQ(GetDetail(status).fields.size(), 2u);
  EXPECT_TRUE(FieldErrors({}).ok());
}

TEST(ApiError, UnknownIsNeverNamed) {
  EXPECT_EQ(CodeName(StatusCode::kUnknown), "INTERNAL");
  EXPECT_EQ(CodeName(static_cast<StatusCode>(99)), "INTERNAL");
  EXPECT_EQ(CodeName(StatusCode::kUnauthenticated), "UNAUTHENTICATED");
}

}  // namespace
}  // namespace bitrate
