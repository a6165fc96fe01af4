#include "server/bitrate_server.h"

#include <thread>

#include "server/api_keys.h"
#include "server/generation.h"
#include "server/grpc/call_info.h"
#include "server/grpc/grpc_server.h"
#include "server/memory_info.h"
#include "server/request_log.h"
#include "server/routing_store.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(100);  // how soon a failed engine shows
constexpr double kBudgetShare = 0.9;                            // of what is available, where no budget is configured
// What the network needs after the last answer; streams that never end by themselves (Watch) are cut after it.
constexpr auto kCloseGrace = std::chrono::milliseconds(500);

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

class Server final : public BitrateServer {
 public:
  Server(ServerSettings settings, ServerParts parts) : settings_(std::move(settings)), parts_(std::move(parts)) {}
  ~Server() override { Shutdown(); }

  Status Init() {
    ASSIGN_OR_RETURN(keys_, ApiKeys::Load(settings_.api_key_file, settings_.api_key_env));
    registry_ = std::make_unique<VariantRegistry>(settings_.models, settings_.default_model, parts_.loader,
                                                  parts_.telemetry, parts_.clock, parts_.reporter);
    const uint64_t budget = settings_.memory_budget_bytes.value_or(
        static_cast<uint64_t>(kBudgetShare * static_cast<double>(AvailableMemoryBytes())));
    RETURN_IF_ERROR(registry_->OpenModels(budget, &memory_summary_));
    routing_ = std::make_unique<RoutingStore>(settings_.routing, settings_.state_file,
                                              [this] { return registry_->RoutableModels(); });
    RETURN_IF_ERROR(routing_->LoadState());
    generation_ = std::make_unique<GenerationService>(
        ServingContext{registry_.get(), routing_.get(), parts_.clock, parts_.telemetry, parts_.log, settings_.prices},
        settings_.limits.frontend_threads, settings_.limits.max_in_flight);
    env_.settings = &settings_;
    env_.generation = generation_.get();
    env_.registry = registry_.get();
    env_.routing = routing_.get();
    env_.keys = &keys_;
    env_.start_drain = [this] { StartDrain(); };
    env_.pool_leased_seconds = parts_.pool_leased_seconds;
    env_.pool_workers = parts_.pool_workers;
    env_.started = parts_.clock->Now();
    ASSIGN_OR_RETURN(grpc_, GrpcServers::Start(&env_));
    watch_ = registry_->Watch([this](const VariantSnapshot& variant) { OnVariant(variant); });
    for (const VariantSnapshot& variant : registry_->Snapshots()) OnVariant(variant);
    const int num_ready = registry_->LoadConfigured();
    UpdateHealth(true);
    monitor_ = std::thread([this] { Monitor(); });
    return num_ready > 0 ? OkStatus() : WhyNoneReady();
  }

  void StartDrain() override {
    if (generation_ == nullptr || !generation_->admitting()) return;
    generation_->StopAdmission();
    UpdateHealth(true);
    parts_.log->Write(LogLevel::kInfo, "draining", {{"in_flight", generation_->in_flight()}});
  }

  void Shutdown() override {
    if (stopped_) return;
    stopped_ = true;
    if (grpc_ != nullptr) {
      StartDrain();
      const TimePoint deadline = parts_.clock->Now() + Seconds(settings_.drain_timeout_seconds);
      registry_->DrainAll(deadline);
      // The engines end what is left at the deadline; the margin is for their last steps.
      while (generation_->in_flight() > 0 && parts_.clock->Now() < deadline + std::chrono::seconds(5)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      grpc_->Shutdown(kCloseGrace);
    }
    {
      MutexLock lock(&mutex_);
      stop_monitor_ = true;
      wake_.SignalAll();
    }
    if (monitor_.joinable()) monitor_.join();
    if (watch_ != 0) registry_->Unwatch(watch_);
    if (registry_ != nullptr) registry_->Shutdown();
    parts_.log->Write(LogLevel::kInfo, "stopped", {});
  }

  bool serving() const override { return generation_->admitting() && registry_->AnyReady(); }
  int in_flight() const override { return generation_->in_flight(); }
  int grpc_port() const override { return grpc_->grpc_port(); }
  int admin_port() const override { return grpc_->admin_port(); }
  VariantRegistry* registry() override { return registry_.get(); }
  RoutingStore* routing() override { return routing_.get(); }
  const std::string& memory_summary() const override { return memory_summary_; }

 private:
  Status WhyNoneReady() const {
    for (const VariantSnapshot& variant : registry_->Snapshots()) {
      if (variant.settings.load && !variant.error.ok()) {
        return Annotate(variant.error,
                        fmt::format("no variant could be loaded: {}:{}", variant.model, variant.settings.name));
      }
    }
    return OkStatus();
  }

  void OnVariant(const VariantSnapshot& variant) {
    const bool ready = variant.state == VariantState::kReady && generation_->admitting();
    grpc_->SetHealth(VariantHealthName(variant.model, variant.settings.name), ready);
    UpdateHealth(false);
    if (variant.state == VariantState::kFailed) {
      parts_.log->Write(
          LogLevel::kError, "variant failed",
          {{"model", variant.model}, {"variant", variant.settings.name}, {"error", ToStd(variant.error.message())}});
    }
  }

  void UpdateHealth(bool variants_too) {
    const bool serves = serving();
    for (const char* name : {"", "bitrate.v1.InferenceService"}) grpc_->SetHealth(name, serves);
    for (const char* name : {"bitrate.v1.ModelService", "bitrate.v1.AdminService"}) {
      grpc_->SetHealth(name, generation_->admitting());
    }
    if (!variants_too) return;
    for (const VariantSnapshot& variant : registry_->Snapshots()) {
      grpc_->SetHealth(VariantHealthName(variant.model, variant.settings.name),
                       serves && variant.state == VariantState::kReady);
    }
  }

  void Monitor() {
    bool live = true;
    while (true) {
      {
        MutexLock lock(&mutex_);
        if (!stop_monitor_) wake_.WaitUntil(&mutex_, std::chrono::steady_clock::now() + kPollInterval);
        if (stop_monitor_) return;
      }
      const bool moving = registry_->Poll(Seconds(settings_.liveness_timeout_seconds));
      if (moving == live) continue;
      live = moving;
      grpc_->SetHealth("liveness", live);
      parts_.log->Write(live ? LogLevel::kInfo : LogLevel::kError, live ? "engines move again" : "an engine is stuck",
                        {});
    }
  }

  const ServerSettings settings_;
  const ServerParts parts_;
  ApiKeys keys_;
  std::string memory_summary_;
  std::unique_ptr<VariantRegistry> registry_;
  std::unique_ptr<RoutingStore> routing_;
  std::unique_ptr<GenerationService> generation_;
  ServiceEnv env_;
  std::unique_ptr<GrpcServers> grpc_;
  uint64_t watch_ = 0;
  bool stopped_ = false;
  Mutex mutex_;
  CondVar wake_;
  bool stop_monitor_ GUARDED_BY(mutex_) = false;
  std::thread monitor_;
};

}  // namespace

StatusOr<std::unique_ptr<BitrateServer>> BitrateServer::Start(ServerSettings settings, ServerParts parts) {
  auto server = std::make_unique<Server>(std::move(settings), std::move(parts));
  RETURN_IF_ERROR(server->Init());
  return StatusOr<std::unique_ptr<BitrateServer>>(std::move(server));
}

}  // namespace bitrate
