#include "server/grpc/grpc_status.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

constexpr char kDomain[] = "bitrate.dev";
constexpr size_t kMaxMessageBytes = 1024;  // of the status message and of each description
constexpr size_t kMaxFieldViolations = 16;

StatusCode WireCode(StatusCode code) {
  return code == StatusCode::kUnknown || static_cast<int>(code) > 16 ? StatusCode::kInternal : code;
}

// Cut at a UTF-8 boundary: protobuf strings must stay valid.
std::string Shorten(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

template <typename Message>
void Add(const Message& message, google::rpc::Status* out) {
  out->add_details()->PackFrom(message);
}

void AddBadRequest(const ErrorDetail& detail, google::rpc::Status* out) {
  google::rpc::BadRequest bad;
  size_t bytes = 0;
  for (const FieldViolation& violation : detail.fields) {
    auto* entry = bad.add_field_violations();
    entry->set_field(Shorten(violation.field, 256));
    entry->set_description(Shorten(violation.description, kMaxMessageBytes));
    if (!detail.reason.empty()) entry->set_reason(detail.reason);
    bytes += entry->ByteSizeLong();
    if (bad.field_violations_size() > 1 && bytes > kMaxErrorDetailBytes / 2) {
      bad.mutable_field_violations()->RemoveLast();
      break;
    }
    if (static_cast<size_t>(bad.field_violations_size()) == kMaxFieldViolations) break;
  }
  Add(bad, out);
}

}  // namespace

google::rpc::Status ToRpcStatus(const Status& status, std::string_view request_id) {
  google::rpc::Status out;
  const StatusCode code = WireCode(status.code());
  out.set_code(static_cast<int>(code));
  out.set_message(Shorten(ToStd(status.message()), kMaxMessageBytes));
  const ErrorDetail detail = GetDetail(status);
  google::rpc::ErrorInfo info;
  info.set_reason(detail.reason.empty() ? std::string(CodeName(code)) : detail.reason);
  info.set_domain(kDomain);
  Add(info, &out);
  google::rpc::RequestInfo request;
  request.set_request_id(Shorten(request_id, 256));
  Add(request, &out);
  if (!detail.fields.empty()) AddBadRequest(detail, &out);
  if (detail.retry_delay_ms) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = google::protobuf::util::TimeUtil::MillisecondsToDuration(*detail.retry_delay_ms);
    Add(retry, &out);
  }
  if (!detail.quota_subject.empty()) {
    google::rpc::QuotaFailure quota;
    auto* violation = quota.add_violations();
    violation->set_subject(detail.quota_subject);
    violation->set_description(Shorten(ToStd(status.message()), 256));
    Add(quota, &out);
  }
  if (!detail.resource_type.empty()) {
    google::rpc::ResourceInfo resource;
    resource.set_resource_type(detail.resource_type);
    resource.set_resource_name(Shorten(detail.resource_name, 512));
    Add(resource, &out);
  }
  if (!detail.precondition_type.empty()) {
    google::rpc::PreconditionFailure failure;
    auto* violation = failure.add_violations();
    violation->set_type(detail.precondition_type);
    violation->set_subject(Shorten(detail.precondition_subject, 512));
    violation->set_description(Shorten(ToStd(status.message()), 256));
    Add(failure, &out);
  }
  return out;
}

grpc::Status ToGrpcStatus(const Status& status, std::string_view request_id, grpc::CallbackServerContext* context) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc = ToRpcStatus(status, request_id);
  const ErrorDetail detail = GetDetail(status);
  if (context != nullptr && detail.retry_delay_ms) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(*detail.retry_delay_ms));
  }
  return grpc::Status(static_cast<grpc::StatusCode>(rpc.code()), rpc.message(), rpc.SerializeAsString());
}

}  // namespace bitrate
