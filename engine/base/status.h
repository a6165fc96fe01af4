// Status and StatusOr (Abseil's), the makers every module uses, and the two macros that pass an error on.
//
// Rule: anything caused by a client, a file, a config or a device is a Status; a message says what, where, got and
// wanted. Codes: INVALID_ARGUMENT client or malformed file, FAILED_PRECONDITION state or unsupported-but-honest,
// RESOURCE_EXHAUSTED capacity, UNAVAILABLE retry elsewhere, NOT_FOUND unknown name, DATA_LOSS damaged artifact,
// INTERNAL our bug. Nothing throws across a module.
#ifndef BITRATE_ENGINE_BASE_STATUS_H_
#define BITRATE_ENGINE_BASE_STATUS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace bitrate {

using Status = absl::Status;
template <typename T>
using StatusOr = absl::StatusOr<T>;
using StatusCode = absl::StatusCode;

inline Status OkStatus() { return absl::OkStatus(); }

// Debian's Abseil keeps its own string_view; convert only here.
inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

Status MakeStatus(StatusCode code, std::string_view message);

// Prefixes the message with "context: ", keeping the code. OK stays OK.
Status Annotate(const Status& status, std::string_view context);

#define BITRATE_STATUS_MAKER(Name, Code)                                       \
  template <typename... Args>                                                  \
  Status Name(fmt::format_string<Args...> format, Args&&... args) {            \
    return MakeStatus(Code, fmt::format(format, std::forward<Args>(args)...)); \
  }
BITRATE_STATUS_MAKER(InvalidArgument, StatusCode::kInvalidArgument)
BITRATE_STATUS_MAKER(FailedPrecondition, StatusCode::kFailedPrecondition)
BITRATE_STATUS_MAKER(NotFound, StatusCode::kNotFound)
BITRATE_STATUS_MAKER(AlreadyExists, StatusCode::kAlreadyExists)
BITRATE_STATUS_MAKER(ResourceExhausted, StatusCode::kResourceExhausted)
BITRATE_STATUS_MAKER(Unavailable, StatusCode::kUnavailable)
BITRATE_STATUS_MAKER(Unimplemented, StatusCode::kUnimplemented)
BITRATE_STATUS_MAKER(DataLoss, StatusCode::kDataLoss)
BITRATE_STATUS_MAKER(Internal, StatusCode::kInternal)
BITRATE_STATUS_MAKER(Cancelled, StatusCode::kCancelled)
BITRATE_STATUS_MAKER(DeadlineExceeded, StatusCode::kDeadlineExceeded)
BITRATE_STATUS_MAKER(Aborted, StatusCode::kAborted)
#undef BITRATE_STATUS_MAKER

}  // namespace bitrate

#define RETURN_IF_ERROR(expr)                          \
  do {                                                 \
    ::absl::Status bitrate_status_ = (expr);           \
    if (!bitrate_status_.ok()) return bitrate_status_; \
  } while (false)

#define BITRATE_CONCAT_INNER_(a, b) a##b
#define BITRATE_CONCAT_(a, b) BITRATE_CONCAT_INNER_(a, b)
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL_(BITRATE_CONCAT_(statusor_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = std::move(*tmp)

#endif  // BITRATE_ENGINE_BASE_STATUS_H_
