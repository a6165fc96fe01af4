// Errors as the API sends them, carried through StatusOr: a Status with one payload that every door (gRPC, HTTP) turns
// into its own shape. No protobuf here.
//
// Rule for retries: only an error that may pass by itself has a retry delay ("busy now"); "too big for ever" has none.
#ifndef BITRATE_SERVER_API_ERROR_H_
#define BITRATE_SERVER_API_ERROR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

struct FieldViolation {
  std::string field;        // path as in the proto: "sampling.temperature"
  std::string description;  // got and wanted
};

// Everything beside code and message.
struct ErrorDetail {
  std::string reason = {};                     // ErrorInfo.reason, UPPER_SNAKE_CASE; empty = made from the code
  std::vector<FieldViolation> fields = {};     // BadRequest
  std::optional<int64_t> retry_delay_ms = {};  // RetryInfo and the pushback trailer
  std::string quota_subject = {};              // QuotaFailure
  std::string resource_type = {};              // ResourceInfo
  std::string resource_name = {};
  std::string precondition_type = {};  // PreconditionFailure
  std::string precondition_subject = {};
};

// `status` with `detail` attached (replacing one attached before).
Status WithDetail(Status status, const ErrorDetail& detail);
// What is attached, or an empty detail.
ErrorDetail GetDetail(const Status& status);

// "UNAVAILABLE", "INVALID_ARGUMENT", ... a literal.
std::string_view CodeName(StatusCode code);

// Makers for the rows of the error table.
Status FieldError(std::string_view field, std::string_view description, std::string_view reason = "INVALID_FIELD");
Status FieldErrors(std::vector<FieldViolation> fields);
Status UnknownModelError(std::string_view model);
Status UnknownVariantError(std::string_view model, std::string_view variant);
Status UnknownExperimentError(std::string_view model, std::string_view experiment);
Status VariantNotReadyError(std::string_view model, std::string_view variant);
Status DrainingError();
Status BusyError(std::string_view what, std::string_view quota_subject);
// Busy, where waiting does not help this client: its own stream is full.
Status SlowReaderError(uint64_t limit_bytes);

// What leaves ModelInstance and the engine, completed with the details of its row: RESOURCE_EXHAUSTED becomes "queue
// full" with RetryInfo, UNAVAILABLE gets RetryInfo, INTERNAL loses its text (it may quote the request).
Status FromEngine(const Status& status, std::string_view model, std::string_view variant);
// INVALID_ARGUMENT "field: got, wanted" -> a field violation; other codes unchanged.
Status FieldErrorFromPrefix(const Status& status);

}  // namespace bitrate

#endif  // BITRATE_SERVER_API_ERROR_H_
