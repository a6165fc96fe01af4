#include "server/grpc/call_info.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <random>

#include "engine/base/limits.h"
#include "server/api_error.h"
#include "server/api_keys.h"
#include "server/generation.h"
#include "server/grpc/grpc_status.h"
#include "server/telemetry.h"

namespace bitrate {
namespace {

constexpr size_t kMaxTraceparentBytes = 128;  // version 00 has 55

std::string_view Metadata(grpc::CallbackServerContext* context, const char* key) {
  const auto& metadata = context->client_metadata();
  const auto it = metadata.find(key);
  return it == metadata.end() ? std::string_view() : std::string_view(it->second.data(), it->second.size());
}

std::string DrawId() {
  std::random_device device;
  return fmt::format("req-{:08x}{:08x}", device(), device());
}

TimePoint ToMonotonic(std::chrono::system_clock::time_point deadline, TimePoint now) {
  const auto left = deadline - std::chrono::system_clock::now();
  if (left > std::chrono::hours(24 * 365)) return kNoDeadline;  // "none" is the end of the clock
  return now + std::chrono::duration_cast<Duration>(left);
}

// Deletes itself when gRPC is done with it.
class UnaryReactor final : public grpc::ServerUnaryReactor {
 public:
  UnaryReactor(const ServiceEnv& env, grpc::CallbackServerContext* context, CallInfo call)
      : env_(env), context_(context), call_(std::move(call)) {}

  void End(const Status& status) {
    CountCall(env_, call_, status);
    Finish(ToGrpcStatus(status, call_.request.request_id, context_));
  }

 private:
  void OnDone() override { delete this; }

  const ServiceEnv& env_;
  grpc::CallbackServerContext* const context_;
  const CallInfo call_;
};

}  // namespace

CallInfo ReadCallInfo(const ServiceEnv& env, grpc::CallbackServerContext* context, std::string_view service,
                      std::string_view method, const std::string& wanted_id) {
  CallInfo call;
  call.service = service;
  call.request.api = "grpc";
  call.request.method = method;
  // One byte over the limit is enough for the check that refuses it; the rest would only fill the log.
  call.request.request_id = wanted_id.empty() ? DrawId() : wanted_id.substr(0, limits::kMaxIdBytes + 1);
  call.request.arrival = env.generation->context().clock->Now();
  call.request.deadline = ToMonotonic(context->deadline(), call.request.arrival);
  call.request.peer = context->peer();
  call.request.traceparent = std::string(Metadata(context, "traceparent").substr(0, kMaxTraceparentBytes));
  call.unit = std::string(Metadata(context, "x-bitrate-unit"));
  return call;
}

Status CheckCredentials(const ServiceEnv& env, grpc::CallbackServerContext* context) {
  return env.keys->Check(Metadata(context, "authorization"), Metadata(context, "x-api-key"));
}

void CountCall(const ServiceEnv& env, const CallInfo& call, const Status& status) {
  const ServingContext& serving = env.generation->context();
  serving.telemetry->OnRpcFinished(call.service, call.request.method, CodeName(status.code()),
                                   ToSeconds(serving.clock->Now() - call.request.arrival));
}

grpc::ServerUnaryReactor* RunUnary(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                   std::string_view service, std::string_view method, bool while_draining,
                                   std::function<Status()> work) {
  auto* reactor = new UnaryReactor(env, context, ReadCallInfo(env, context, service, method, ""));
  Status status = CheckCredentials(env, context);
  const bool admit = !while_draining;
  if (status.ok() && admit) status = env.generation->Admit();
  if (!status.ok()) {
    reactor->End(status);
    return reactor;
  }
  GenerationService* const generation = env.generation;
  const Status posted = generation->Post([reactor, generation, admit, work = std::move(work)] {
    const Status result = work();
    if (admit) generation->Release();
    reactor->End(result);
  });
  if (!posted.ok()) {
    if (admit) generation->Release();
    reactor->End(posted);
  }
  return reactor;
}

grpc::ServerUnaryReactor* RunUnaryLater(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                        std::string_view service, std::string_view method,
                                        std::function<void(FinishFn)> work) {
  auto* reactor = new UnaryReactor(env, context, ReadCallInfo(env, context, service, method, ""));
  if (const Status status = CheckCredentials(env, context); !status.ok()) {
    reactor->End(status);
  } else {
    work([reactor](const Status& result) { reactor->End(result); });
  }
  return reactor;
}

}  // namespace bitrate
