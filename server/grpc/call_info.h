// What a call brings besides its message: who calls, until when, under which ids. The one place where credentials are
// checked: every handler starts with BeginCall.
#ifndef BITRATE_SERVER_GRPC_CALL_INFO_H_
#define BITRATE_SERVER_GRPC_CALL_INFO_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "server/generation_request.h"

namespace grpc {
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc

namespace bitrate {

class ApiKeys;
class GenerationService;
class RoutingStore;
class VariantRegistry;
struct ServerSettings;

// What the handlers of all services work with; outlives the gRPC servers.
struct ServiceEnv {
  const ServerSettings* settings = nullptr;
  GenerationService* generation = nullptr;
  VariantRegistry* registry = nullptr;
  RoutingStore* routing = nullptr;
  const ApiKeys* keys = nullptr;
  std::function<void()> start_drain;            // takes the server out of service; returns at once
  std::function<double()> pool_leased_seconds;  // by all variants
  int pool_workers = 0;
  TimePoint started{};
};

// Service and method are literals of the API, e.g. "bitrate.v1.InferenceService", "Generate".
struct CallInfo {
  std::string_view service;
  RequestContext request;  // request_id: `wanted_id`, or one drawn here
  std::string unit;        // metadata x-bitrate-unit
};

CallInfo ReadCallInfo(const ServiceEnv& env, grpc::CallbackServerContext* context, std::string_view service,
                      std::string_view method, const std::string& wanted_id);

// UNAUTHENTICATED without a known key.
Status CheckCredentials(const ServiceEnv& env, grpc::CallbackServerContext* context);

// A unary call whose whole work is `work`, run on the frontend pool: credentials, admission, status, telemetry.
// `while_draining`: answered also when new requests are not (lists, statistics).
grpc::ServerUnaryReactor* RunUnary(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                   std::string_view service, std::string_view method, bool while_draining,
                                   std::function<Status()> work);

// The same, where the answer comes later: `work` gets a function to call once.
using FinishFn = std::function<void(const Status&)>;
grpc::ServerUnaryReactor* RunUnaryLater(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                        std::string_view service, std::string_view method,
                                        std::function<void(FinishFn)> work);

// For grpc_server_handled_total.
void CountCall(const ServiceEnv& env, const CallInfo& call, const Status& status);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_CALL_INFO_H_
