#include "server/api_error.h"

#include <nlohmann/json.hpp>

namespace bitrate {
namespace {

constexpr char kDetailUrl[] = "bitrate.dev/detail";
constexpr int64_t kBusyRetryMs = 500;       // about the time in which a full queue moves on
constexpr int64_t kNotReadyRetryMs = 2000;  // a small model loads in seconds

std::string Text(const nlohmann::json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

Status WithDetail(Status status, const ErrorDetail& detail) {
  if (status.ok()) return status;
  nlohmann::json json = {{"reason", detail.reason},
                         {"quota_subject", detail.quota_subject},
                         {"resource_type", detail.resource_type},
                         {"resource_name", detail.resource_name},
                         {"precondition_type", detail.precondition_type},
                         {"precondition_subject", detail.precondition_subject}};
  if (detail.retry_delay_ms) json["retry_delay_ms"] = *detail.retry_delay_ms;
  for (const FieldViolation& violation : detail.fields) {
    json["fields"].push_back({violation.field, violation.description});
  }
  // `replace` turns what is not UTF-8 into U+FFFD instead of throwing: names and fields can come from a client.
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  status.SetPayload(kDetailUrl, absl::Cord(text));
  return status;
}

ErrorDetail GetDetail(const Status& status) {
  ErrorDetail detail;
  const auto payload = status.GetPayload(kDetailUrl);
  if (!payload) return detail;
  const nlohmann::json json = nlohmann::json::parse(std::string(*payload), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return detail;
  detail.reason = Text(json, "reason");
  detail.quota_subject = Text(json, "quota_subject");
  detail.resource_type = Text(json, "resource_type");
  detail.resource_name = Text(json, "resource_name");
  detail.precondition_type = Text(json, "precondition_type");
  detail.precondition_subject = Text(json, "precondition_subject");
  if (const auto it = json.find("retry_delay_ms"); it != json.end()) detail.retry_delay_ms = it->get<int64_t>();
  if (const auto it = json.find("fields"); it != json.end()) {
    for (const auto& pair : *it) detail.fields.push_back({pair[0].get<std::string>(), pair[1].get<std::string>()});
  }
  return detail;
}

std::string_view CodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kCancelled:
      return "CANCELLED";
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case StatusCode::kNotFound:
      return "NOT_FOUND";
    case StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case StatusCode::kAborted:
      return "ABORTED";
    case StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case StatusCode::kDataLoss:
      return "DATA_LOSS";
    default:
      return "INTERNAL";  // UNKNOWN is never a right answer
  }
}

Status FieldError(std::string_view field, std::string_view description, std::string_view reason) {
  return WithDetail(InvalidArgument("{}: {}", field, description),
                    {.reason = std::string(reason), .fields = {{std::string(field), std::string(description)}}});
}

Status FieldErrors(std::vector<FieldViolation> fields) {
  if (fields.empty()) return OkStatus();
  std::string message;
  for (const FieldViolation& violation : fields) {
    if (!message.empty()) message += "; ";
    message += violation.field + ": " + violation.description;
  }
  return WithDetail(MakeStatus(StatusCode::kInvalidArgument, message),
                    {.reason = "INVALID_FIELD", .fields = std::move(fields)});
}

Status UnknownModelError(std::string_view model) {
  return WithDetail(
      NotFound("there is no model \"{}\"", model),
      {.reason = "MODEL_NOT_FOUND", .resource_type = "bitrate.v1.Model", .resource_name = std::string(model)});
}

Status UnknownVariantError(std::string_view model, std::string_view variant) {
  return WithDetail(NotFound("model \"{}\" has no variant \"{}\"", model, variant),
                    {.reason = "VARIANT_NOT_FOUND",
                     .resource_type = "bitrate.v1.Variant",
                     .resource_name = fmt::format("{}:{}", model, variant)});
}

Status UnknownExperimentError(std::string_view model, std::string_view experiment) {
  return WithDetail(NotFound("model \"{}\" has no experiment \"{}\"", model, experiment),
                    {.reason = "EXPERIMENT_NOT_FOUND",
                     .resource_type = "bitrate.v1.RoutingRule",
                     .resource_name = std::string(experiment)});
}

Status VariantNotReadyError(std::string_view model, std::string_view variant) {
  return WithDetail(Unavailable("variant \"{}\" of model \"{}\" is not ready", variant, model),
                    {.reason = "VARIANT_NOT_READY", .retry_delay_ms = kNotReadyRetryMs});
}

Status DrainingError() {
  return WithDetail(Unavailable("the server is draining"), {.reason = "DRAINING", .retry_delay_ms = kNotReadyRetryMs});
}

Status BusyError(std::string_view what, std::string_view quota_subject) {
  return WithDetail(
      MakeStatus(StatusCode::kResourceExhausted, what),
      {.reason = "QUEUE_FULL", .retry_delay_ms = kBusyRetryMs, .quota_subject = std::string(quota_subject)});
}

Status SlowReaderError(uint64_t limit_bytes) {
  return WithDetail(ResourceExhausted("the client reads too slowly: {} bytes are waiting for it", limit_bytes),
                    {.reason = "SLOW_READER", .quota_subject = "stream_buffer"});
}

Status FromEngine(const Status& status, std::string_view model, std::string_view variant) {
  if (!GetDetail(status).reason.empty()) return status;  // it has its row already
  switch (status.code()) {
    case StatusCode::kOk:
      return status;
    case StatusCode::kResourceExhausted:
      return BusyError(ToStd(status.message()), fmt::format("{}:{}", model, variant));
    case StatusCode::kUnavailable:
      return WithDetail(status, {.reason = "VARIANT_NOT_READY", .retry_delay_ms = kNotReadyRetryMs});
    case StatusCode::kInvalidArgument:
      return FieldErrorFromPrefix(status);
    case StatusCode::kCancelled:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kNotFound:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kUnimplemented:
      return status;
    default:
      return WithDetail(Internal("the engine failed on this request"), {.reason = "ENGINE_FAILURE"});
  }
}

Status FieldErrorFromPrefix(const Status& status) {
  if (status.code() != StatusCode::kInvalidArgument || !GetDetail(status).fields.empty()) return status;
  const std::string_view message = ToStd(status.message());
  const size_t colon = message.find(": ");
  if (colon == std::string_view::npos || message.substr(0, colon).find(' ') != std::string_view::npos) return status;
  return FieldError(message.substr(0, colon), message.substr(colon + 2));
}

}  // namespace bitrate
