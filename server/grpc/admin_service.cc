#include "server/grpc/admin_service.h"

#include <google/protobuf/util/time_util.h>

#include <thread>

#include "bitrate/v1/admin_service.grpc.pb.h"
#include "server/api_error.h"
#include "server/generation.h"
#include "server/grpc/call_info.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/stream_buffer.h"
#include "server/memory_info.h"
#include "server/routing_store.h"
#include "server/task_pool.h"
#include "server/variant_registry.h"
#include "server/version.h"

namespace bitrate {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kService = "bitrate.v1.AdminService";
constexpr int64_t kMaxWaitSeconds = 86400;
constexpr size_t kMaxPathBytes = 4096;

StatusOr<Duration> ReadWait(const google::protobuf::Duration& in, std::string_view field) {
  if (in.seconds() < 0 || in.nanos() < 0 || in.nanos() > 999'999'999 || in.seconds() > kMaxWaitSeconds) {
    return FieldError(field, fmt::format("wanted 0 to {} seconds", kMaxWaitSeconds));
  }
  return std::chrono::seconds(in.seconds()) + std::chrono::nanoseconds(in.nanos());
}

Status InRange(bool has, int64_t value, int64_t low, int64_t high, std::string_view field) {
  if (!has || (value >= low && value <= high)) return OkStatus();
  return FieldError(field, fmt::format("got {}, wanted {} to {}", value, low, high));
}

StatusOr<VariantSettings> ReadSpec(const v1::VariantSpec& in) {
  VariantSettings out;
  out.precision = in.precision();
  RETURN_IF_ERROR(InRange(in.has_max_sequences(), in.max_sequences(), 1, 4096, "spec.max_sequences"));
  RETURN_IF_ERROR(InRange(in.has_max_step_tokens(), in.max_step_tokens(), 1, 65536, "spec.max_step_tokens"));
  RETURN_IF_ERROR(InRange(in.has_max_queue(), in.max_queue(), 1, 1 << 20, "spec.max_queue"));
  RETURN_IF_ERROR(InRange(in.has_max_context(), in.max_context(), 1, int64_t{1} << 24, "spec.max_context"));
  if (in.kv_bytes() > uint64_t{1} << 46) return FieldError("spec.kv_bytes", "wanted at most 64 TiB");
  if (in.has_max_sequences()) out.max_sequences = in.max_sequences();
  if (in.has_max_step_tokens()) out.max_step_tokens = in.max_step_tokens();
  if (in.has_max_queue()) out.max_queue = in.max_queue();
  if (in.has_kv_bytes()) out.kv_bytes = in.kv_bytes();
  if (in.has_kv_cache() && in.kv_cache() != "auto" && in.kv_cache() != "int8") {
    return FieldError("spec.kv_cache", fmt::format("got \"{}\", wanted auto or int8", in.kv_cache()));
  }
  out.int8_kv = in.kv_cache() == "int8";
  if (in.has_prefix_cache()) out.prefix_cache = in.prefix_cache();
  if (in.has_max_context()) out.max_context = in.max_context();
  return out;
}

Status CheckName(std::string_view field, const std::string& name) {
  RETURN_IF_ERROR(ValidateId(field, name));
  if (!name.empty() && name.find_first_of(" :+/\\\"'") == std::string::npos) return OkStatus();
  return FieldError(field, fmt::format("got \"{}\", wanted letters, digits, '.', '_' or '-'", name));
}

void ToProto(const AdapterSnapshot& in, v1::Adapter* out) {
  out->set_model(in.model);
  out->set_name(in.name);
  out->set_path(in.path);
  if (!in.error.ok()) {
    out->mutable_error()->set_code(static_cast<int>(in.error.code()));
    out->mutable_error()->set_message(std::string(ToStd(in.error.message())));
    return;
  }
  out->set_content_digest(in.id);
  out->set_resident_bytes(in.bytes);
  out->set_max_rank(in.max_rank);
  out->set_num_modules(in.num_modules);
  out->set_in_use(in.in_use);
  *out->mutable_loaded_at() = TimeUtil::MillisecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::milliseconds>(in.loaded_at.time_since_epoch()).count());
}

class AdminService final : public v1::AdminService::CallbackService {
 public:
  explicit AdminService(const ServiceEnv* env) : env_(*env) {}

  grpc::ServerUnaryReactor* LoadVariant(grpc::CallbackServerContext* context, const v1::LoadVariantRequest* request,
                                        v1::LoadVariantResponse* response) override {
    return RunUnaryLater(env_, context, kService, "LoadVariant", [this, request, response](FinishFn finish) {
      const Status status = StartLoad(*request, response, finish);
      if (!status.ok()) finish(status);
    });
  }

  grpc::ServerUnaryReactor* UnloadVariant(grpc::CallbackServerContext* context, const v1::UnloadVariantRequest* request,
                                          v1::UnloadVariantResponse* response) override {
    return RunUnaryLater(env_, context, kService, "UnloadVariant", [this, request, response](FinishFn finish) {
      const Status status = StartUnload(*request, response, finish);
      if (!status.ok()) finish(status);
    });
  }

  grpc::ServerUnaryReactor* LoadAdapter(grpc::CallbackServerContext* context, const v1::LoadAdapterRequest* request,
                                        v1::LoadAdapterResponse* response) override {
    return RunUnaryLater(env_, context, kService, "LoadAdapter", [this, request, response](FinishFn finish) {
      const Status status = StartLoadAdapter(*request, response, finish);
      if (!status.ok()) finish(status);
    });
  }

  grpc::ServerUnaryReactor* UnloadAdapter(grpc::CallbackServerContext* context, const v1::UnloadAdapterRequest* request,
                                          v1::UnloadAdapterResponse* response) override {
    return RunUnaryLater(env_, context, kService, "UnloadAdapter", [this, request, response](FinishFn finish) {
      const Status status = StartUnloadAdapter(*request, response, finish);
      if (!status.ok()) finish(status);
    });
  }

  grpc::ServerUnaryReactor* ListAdapters(grpc::CallbackServerContext* context, const v1::ListAdaptersRequest* request,
                                         v1::ListAdaptersResponse* response) override {
    return RunUnary(env_, context, kService, "ListAdapters", true, [this, request, response]() -> Status {
      RETURN_IF_ERROR(ValidateId("model", request->model()));
      if (!request->model().empty()) RETURN_IF_ERROR(env_.registry->ResolveModel(request->model()).status());
      for (const AdapterSnapshot& adapter : env_.registry->adapters().List(request->model())) {
        ToProto(adapter, response->add_adapters());
      }
      return OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::WatchVariantsResponse>* WatchVariants(grpc::CallbackServerContext* context,
                                                                     const v1::WatchVariantsRequest* request) override;

  grpc::ServerUnaryReactor* GetRoutingPolicy(grpc::CallbackServerContext* context, const v1::GetRoutingPolicyRequest*,
                                             v1::GetRoutingPolicyResponse* response) override {
    return RunUnary(env_, context, kService, "GetRoutingPolicy", true, [this, response] {
      const auto current = env_.routing->Current();
      ToProto(current->policy, response->mutable_policy());
      response->set_etag(current->etag);
      response->set_persistent(env_.routing->persistent());
      for (const RoutingHistoryEntry& entry : env_.routing->History()) {
        v1::RoutingPolicyVersion* version = response->add_history();
        ToProto(entry.snapshot->policy, version->mutable_policy());
        version->set_etag(entry.snapshot->etag);
        *version->mutable_replaced_at() = TimeUtil::MillisecondsToTimestamp(
            std::chrono::duration_cast<std::chrono::milliseconds>(entry.replaced_at.time_since_epoch()).count());
      }
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* UpdateRoutingPolicy(grpc::CallbackServerContext* context,
                                                const v1::UpdateRoutingPolicyRequest* request,
                                                v1::UpdateRoutingPolicyResponse* response) override {
    return RunUnary(env_, context, kService, "UpdateRoutingPolicy", true, [this, request, response]() -> Status {
      if (!request->has_policy()) return FieldError("policy", "got nothing, wanted a policy");
      ASSIGN_OR_RETURN(const auto snapshot, env_.routing->Update(FromProto(request->policy()), request->etag()));
      ToProto(snapshot->policy, response->mutable_policy());
      response->set_etag(snapshot->etag);
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* RestoreRoutingPolicy(grpc::CallbackServerContext* context,
                                                 const v1::RestoreRoutingPolicyRequest* request,
                                                 v1::RestoreRoutingPolicyResponse* response) override {
    return RunUnary(env_, context, kService, "RestoreRoutingPolicy", true, [this, request, response]() -> Status {
      RETURN_IF_ERROR(ValidateId("etag", request->etag()));
      ASSIGN_OR_RETURN(const auto snapshot, env_.routing->Restore(request->etag()));
      ToProto(snapshot->policy, response->mutable_policy());
      response->set_etag(snapshot->etag);
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context, const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override {
    return RunUnaryLater(env_, context, kService, "Drain", [this, request, response](FinishFn finish) {
      const auto wait = ReadWait(request->wait(), "wait");
      if (!wait.ok()) return finish(wait.status());
      env_.start_drain();
      const Clock* clock = env_.generation->context().clock;
      const TimePoint until = clock->Now() + *wait;
      const bool posted = waiter_.Post([this, response, finish, clock, until] {
        while (env_.generation->in_flight() > 0 && clock->Now() < until) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        response->set_in_flight(env_.generation->in_flight());
        finish(OkStatus());
      });
      if (!posted) finish(BusyError("too many Drain calls are waiting", "control"));
    });
  }

  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context, const v1::GetStatsRequest*,
                                     v1::GetStatsResponse* response) override {
    return RunUnary(env_, context, kService, "GetStats", true, [this, response] {
      const GenerationService& generation = *env_.generation;
      response->set_version(kVersion);
      const auto uptime = generation.context().clock->Now() - env_.started;
      *response->mutable_uptime() =
          TimeUtil::MillisecondsToDuration(std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count());
      response->set_draining(!generation.admitting());
      response->set_in_flight(generation.in_flight());
      response->set_pool_workers(env_.pool_workers);
      response->set_pool_leased_seconds(env_.pool_leased_seconds ? env_.pool_leased_seconds() : 0);
      response->set_process_resident_bytes(ProcessResidentBytes());
      for (const VariantSnapshot& variant : env_.registry->Snapshots()) FillStats(variant, response->add_variants());
      return OkStatus();
    });
  }

 private:
  static void FillStats(const VariantSnapshot& in, v1::VariantStats* out) {
    out->set_model(in.model);
    out->set_variant(in.settings.name);
    out->set_state(ToProto(in.state));
    out->set_accepted(in.counts.accepted);
    out->set_completed(in.counts.completed);
    out->set_failed(in.counts.failed);
    out->set_cancelled(in.counts.cancelled);
    out->set_expired(in.counts.expired);
    out->set_rejected(in.counts.rejected);
    if (in.serving == nullptr) return;
    const InstanceGauges gauges = in.serving->instance->gauges();
    out->set_running(gauges.running);
    out->set_waiting(gauges.waiting);
    out->set_kv_blocks_total(gauges.kv_blocks_total);
    out->set_kv_blocks_used(gauges.kv_blocks_used);
    out->set_kv_blocks_cached(gauges.kv_blocks_cached);
    out->set_leased_seconds(in.serving->instance->LeasedSeconds());
  }

  Status StartLoad(const v1::LoadVariantRequest& request, v1::LoadVariantResponse* response, const FinishFn& finish) {
    RETURN_IF_ERROR(ValidateId("model", request.model()));
    RETURN_IF_ERROR(CheckName("variant", request.variant()));
    ASSIGN_OR_RETURN(const std::string model, env_.registry->ResolveModel(request.model()));
    std::optional<VariantSettings> settings;
    if (request.has_spec()) {
      ASSIGN_OR_RETURN(settings, ReadSpec(request.spec()));
    }
    env_.registry->Load(model, request.variant(), settings, [response, finish](StatusOr<VariantSnapshot> loaded) {
      if (loaded.ok()) ToProto(*loaded, /*public_view=*/false, response->mutable_variant());
      finish(loaded.status());
    });
    return OkStatus();
  }

  Status StartUnload(const v1::UnloadVariantRequest& request, v1::UnloadVariantResponse* response,
                     const FinishFn& finish) {
    RETURN_IF_ERROR(ValidateId("model", request.model()));
    RETURN_IF_ERROR(ValidateId("variant", request.variant()));
    ASSIGN_OR_RETURN(const std::string model, env_.registry->ResolveModel(request.model()));
    ASSIGN_OR_RETURN(const Duration timeout, DrainTimeout(request));
    env_.registry->Unload(model, request.variant(), request.drain(), timeout,
                          [response, finish](StatusOr<VariantSnapshot> unloaded) {
                            if (unloaded.ok()) ToProto(*unloaded, /*public_view=*/false, response->mutable_variant());
                            finish(unloaded.status());
                          });
    return OkStatus();
  }

  Status StartLoadAdapter(const v1::LoadAdapterRequest& request, v1::LoadAdapterResponse* response,
                          const FinishFn& finish) {
    RETURN_IF_ERROR(ValidateId("model", request.model()));
    RETURN_IF_ERROR(CheckName("adapter", request.adapter()));
    if (request.path().empty() || request.path().size() > kMaxPathBytes) {
      return FieldError("path", fmt::format("got {} bytes, wanted 1 to {}", request.path().size(), kMaxPathBytes));
    }
    ASSIGN_OR_RETURN(const std::string model, env_.registry->ResolveModel(request.model()));
    env_.registry->LoadAdapter(model, {request.adapter(), request.path()},
                               [response, finish](StatusOr<AdapterSnapshot> loaded) {
                                 if (loaded.ok()) ToProto(*loaded, response->mutable_adapter());
                                 finish(loaded.status());
                               });
    return OkStatus();
  }

  Status StartUnloadAdapter(const v1::UnloadAdapterRequest& request, v1::UnloadAdapterResponse* response,
                            const FinishFn& finish) {
    RETURN_IF_ERROR(ValidateId("model", request.model()));
    RETURN_IF_ERROR(ValidateId("adapter", request.adapter()));
    ASSIGN_OR_RETURN(const std::string model, env_.registry->ResolveModel(request.model()));
    ASSIGN_OR_RETURN(const Duration timeout, DrainTimeout(request));
    env_.registry->UnloadAdapter(model, request.adapter(), request.drain(),
                                 request.drain() ? timeout : Duration::zero(),
                                 [response, finish](StatusOr<AdapterSnapshot> unloaded) {
                                   if (unloaded.ok()) ToProto(*unloaded, response->mutable_adapter());
                                   finish(unloaded.status());
                                 });
    return OkStatus();
  }

  template <typename Request>
  StatusOr<Duration> DrainTimeout(const Request& request) const {
    if (request.has_drain_timeout()) return ReadWait(request.drain_timeout(), "drain_timeout");
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(env_.settings->drain_timeout_seconds));
  }

  const ServiceEnv& env_;
  TaskPool waiter_{1, 64};
};

grpc::ServerWriteReactor<v1::WatchVariantsResponse>* AdminService::WatchVariants(
    grpc::CallbackServerContext* context, const v1::WatchVariantsRequest* request) {
  using Buffer = StreamBuffer<v1::WatchVariantsResponse>;
  const CallInfo call = ReadCallInfo(env_, context, kService, "WatchVariants", "");
  auto buffer = Buffer::Make(
      env_.settings->limits.max_stream_buffer_bytes, nullptr,
      [context, id = call.request.request_id](const Status& status) { return ToGrpcStatus(status, id, context); });
  Buffer* const reactor = buffer.get();
  Status status = CheckCredentials(env_, context);
  if (status.ok() && !request->model().empty()) status = env_.registry->ResolveModel(request->model()).status();
  if (!status.ok()) {
    CountCall(env_, call, status);
    buffer->End(status);
    return reactor;
  }
  const std::string model = request->model();
  const auto push = [buffer, model](const VariantSnapshot& variant) {
    if (!model.empty() && variant.model != model) return;
    v1::WatchVariantsResponse response;
    ToProto(variant, /*public_view=*/false, response.add_variants());
    buffer->Push(std::move(response));
  };
  // Watching starts first: a change in between is told twice rather than never.
  const uint64_t id = env_.registry->Watch(push);
  v1::WatchVariantsResponse all;
  for (const VariantSnapshot& variant : env_.registry->Snapshots(model)) {
    ToProto(variant, /*public_view=*/false, all.add_variants());
  }
  buffer->Push(std::move(all));
  std::weak_ptr<Buffer> weak = buffer;
  buffer->SetStop([this, id, weak, call](const Status& why) {
    env_.registry->Unwatch(id);
    const std::shared_ptr<Buffer> live = weak.lock();
    if (live == nullptr) return;
    CountCall(env_, call, why);
    live->End(why);
  });
  return reactor;
}

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(const ServiceEnv* env) { return std::make_unique<AdminService>(env); }

}  // namespace bitrate
