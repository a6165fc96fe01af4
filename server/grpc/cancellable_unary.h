// A unary reactor whose work can be cancelled by the client's going away. Deletes itself when gRPC is done with it.
#ifndef BITRATE_SERVER_GRPC_CANCELLABLE_UNARY_H_
#define BITRATE_SERVER_GRPC_CANCELLABLE_UNARY_H_

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "engine/base/mutex.h"
#include "server/generation.h"
#include "server/grpc/call_info.h"
#include "server/grpc/grpc_status.h"

namespace bitrate {

class CancellableUnary final : public grpc::ServerUnaryReactor {
 public:
  CancellableUnary(const ServiceEnv& env, grpc::CallbackServerContext* context, CallInfo call)
      : env_(env), context_(context), call_(std::move(call)) {}

  // The work may have ended already (then gRPC waits for the handler to return before it lets go of this object).
  void SetHandle(std::shared_ptr<CallHandle> handle) {
    bool cancel = false;
    {
      MutexLock lock(&mutex_);
      cancel = cancelled_;
      handle_ = handle;
    }
    if (cancel) handle->Cancel(absl::CancelledError("the client went away"));
  }

  void End(const Status& status) {
    CountCall(env_, call_, status);
    Finish(ToGrpcStatus(status, call_.request.request_id, context_));
  }

 private:
  void OnCancel() override {
    std::shared_ptr<CallHandle> handle;
    {
      MutexLock lock(&mutex_);
      cancelled_ = true;
      handle = handle_;
    }
    if (handle != nullptr) handle->Cancel(absl::CancelledError("the client went away"));
  }
  void OnDone() override { delete this; }

  const ServiceEnv& env_;
  grpc::CallbackServerContext* const context_;
  const CallInfo call_;
  Mutex mutex_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<CallHandle> handle_ GUARDED_BY(mutex_);
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_CANCELLABLE_UNARY_H_
