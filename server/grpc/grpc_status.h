// Status -> grpc::Status with google.rpc details (trailer grpc-status-details-bin) and the retry trailer.
//
// Always ErrorInfo (domain "bitrate.dev") and RequestInfo; the others by what the error carries. Details stay under
// 4 KiB: they share the peer's metadata limit. UNKNOWN never leaves: it becomes INTERNAL.
#ifndef BITRATE_SERVER_GRPC_GRPC_STATUS_H_
#define BITRATE_SERVER_GRPC_GRPC_STATUS_H_

#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace grpc {
class Status;
class CallbackServerContext;
}  // namespace grpc
namespace google::rpc {
class Status;
}

namespace bitrate {

inline constexpr size_t kMaxErrorDetailBytes = 4096;

// With every detail. Also what CompareResult and Variant carry in their own error fields.
google::rpc::Status ToRpcStatus(const Status& status, std::string_view request_id);

// `context` may be null (no trailer is then set). To be called before Finish.
grpc::Status ToGrpcStatus(const Status& status, std::string_view request_id, grpc::CallbackServerContext* context);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_GRPC_STATUS_H_
