#include "server/variant_registry.h"

#include <algorithm>
#include <thread>

#include "engine/base/limits.h"
#include "engine/format/precision.h"
#include "server/api_error.h"
#include "server/variant_registry_internal.h"

namespace bitrate {
namespace {

constexpr size_t kControlQueue = 1024;  // besides destructions, a handful of operator calls

std::string Gib(uint64_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1ull << 30)); }

}  // namespace

VariantRegistry::VariantRegistry(std::vector<ModelSettings> models, std::string default_model, ModelLoader* loader,
                                 Telemetry* telemetry, const Clock* clock, LoadReporter* reporter)
    : default_model_(std::move(default_model)),
      loader_(loader),
      telemetry_(telemetry),
      clock_(clock),
      reporter_(reporter),
      adapters_(loader, telemetry, clock),
      control_(std::make_unique<TaskPool>(1, kControlQueue)) {
  for (ModelSettings& settings : models) {
    auto entry = std::make_unique<ModelEntry>();
    for (const VariantSettings& variant : settings.variants) {
      entry->slots.push_back(std::make_unique<Slot>());
      entry->slots.back()->settings = variant;
    }
    entry->settings = std::move(settings);
    models_.push_back(std::move(entry));
  }
}

VariantRegistry::~VariantRegistry() = default;

Status VariantRegistry::OpenModels(uint64_t budget, std::string* summary) {
  budget_ = budget;
  uint64_t total = 0;
  Status first_error;
  int num_open = 0;
  std::vector<std::pair<ModelEntry*, ModelSettings>> entries;
  {
    MutexLock lock(&mutex_);
    for (const auto& entry : models_) entries.emplace_back(entry.get(), entry->settings);
  }
  for (auto& [entry, settings] : entries) {
    auto opened = loader_->Open(settings);
    const Status status = opened.ok() ? OkStatus() : Annotate(opened.status(), "model " + settings.name);
    {
      MutexLock lock(&mutex_);
      entry->open_error = status;
      if (opened.ok()) entry->resources = *opened;
    }
    if (!status.ok()) {
      if (first_error.ok()) first_error = status;
      for (const VariantSettings& v : settings.variants) {
        SetState(settings.name, v.name, VariantState::kFailed, status, nullptr);
      }
      continue;
    }
    ++num_open;
    for (const VariantSettings& variant : settings.variants) {
      if (!variant.load) continue;
      const auto estimate = loader_->Estimate(**opened, variant);
      if (!estimate.ok()) continue;  // the load itself will say why
      total += estimate->total();
      *summary += fmt::format("    {}:{}  weights {} + kv {}\n", settings.name, variant.name, Gib(estimate->weights),
                              Gib(estimate->kv));
    }
  }
  *summary += fmt::format("    together {}{}\n", Gib(total), budget > 0 ? " of a budget of " + Gib(budget) : "");
  if (num_open == 0) return first_error;
  if (budget > 0 && total > budget) {
    return ResourceExhausted("the variants need {} together, the memory budget is {}:\n{}", Gib(total), Gib(budget),
                             *summary);
  }
  return OkStatus();
}

int VariantRegistry::LoadConfigured() {
  int num_ready = 0;
  LoadConfiguredAdapters();
  for (const VariantSnapshot& variant : Snapshots()) {
    if (!variant.settings.load || variant.state == VariantState::kFailed) continue;
    Load(variant.model, variant.settings.name, std::nullopt, [](const StatusOr<VariantSnapshot>&) {});
  }
  control_->Flush();
  for (const VariantSnapshot& variant : Snapshots()) num_ready += variant.state == VariantState::kReady ? 1 : 0;
  return num_ready;
}

void VariantRegistry::Load(std::string_view model, std::string_view variant, std::optional<VariantSettings> settings,
                           ResultFn done) {
  auto shared = std::make_shared<ResultFn>(std::move(done));
  const bool posted =
      control_->Post([this, model = std::string(model), variant = std::string(variant), settings = std::move(settings),
                      shared] { (*shared)(LoadNow(model, variant, settings)); });
  if (!posted) (*shared)(BusyError("too many loads and unloads are waiting", "control"));
}

void VariantRegistry::Unload(std::string_view model, std::string_view variant, bool drain, Duration drain_timeout,
                             ResultFn done) {
  auto shared = std::make_shared<ResultFn>(std::move(done));
  const bool posted =
      control_->Post([this, model = std::string(model), variant = std::string(variant), drain, drain_timeout, shared] {
        (*shared)(UnloadNow(model, variant, drain, drain_timeout));
      });
  if (!posted) (*shared)(BusyError("too many loads and unloads are waiting", "control"));
}

// Makes the slot where it is new, and marks it LOADING once everything that can be refused has been checked.
StatusOr<VariantSettings> VariantRegistry::PrepareSlot(const std::string& model, const std::string& variant,
                                                       const std::optional<VariantSettings>& settings,
                                                       uint64_t* resident) {
  MutexLock lock(&mutex_);
  ModelEntry* entry = FindModel(model);
  if (entry == nullptr) return UnknownModelError(model);
  if (!entry->open_error.ok()) return entry->open_error;
  *resident = 0;
  size_t num_slots = 0;
  for (const auto& other : models_) {
    num_slots += other->slots.size();
    for (const auto& slot : other->slots) *resident += slot->serving ? slot->serving->resident_bytes() : 0;
  }
  Slot* slot = FindSlot(model, variant);
  if (slot != nullptr && slot->serving != nullptr) {
    return WithDetail(
        AlreadyExists("variant \"{}\" of model \"{}\" is loaded", variant, model),
        {.reason = "VARIANT_LOADED", .resource_type = "bitrate.v1.Variant", .resource_name = model + ":" + variant});
  }
  if (settings) return *settings;
  if (slot != nullptr) return slot->settings;
  if (num_slots >= static_cast<size_t>(limits::kMaxVariants)) {
    return FieldError("variant", fmt::format("the server has {} variants, which is the most", num_slots));
  }
  VariantSettings fresh;
  fresh.name = fresh.precision = variant;
  return fresh;
}

StatusOr<VariantSnapshot> VariantRegistry::LoadNow(const std::string& model, const std::string& variant,
                                                   const std::optional<VariantSettings>& settings) {
  uint64_t resident = 0;
  ASSIGN_OR_RETURN(VariantSettings wanted, PrepareSlot(model, variant, settings, &resident));
  wanted.name = variant;
  if (const auto precision = Precision::Parse(wanted.precision); !precision.ok()) {
    return FieldError("spec.precision", ToStd(precision.status().message()));
  }
  const std::shared_ptr<const ModelResources> resources = Resources(model);
  if (budget_ > 0) {
    ASSIGN_OR_RETURN(const MemoryEstimate estimate, loader_->Estimate(*resources, wanted));
    if (resident + estimate.total() > budget_) {
      return WithDetail(
          ResourceExhausted("loading {}:{} needs {}, of the memory budget of {} there is {} left", model, variant,
                            Gib(estimate.total()), Gib(budget_), Gib(budget_ > resident ? budget_ - resident : 0)),
          {.reason = "MEMORY_BUDGET", .quota_subject = "memory"});
    }
  }
  auto serving = std::make_unique<ServingVariant>();
  {
    MutexLock lock(&mutex_);
    Slot* slot = FindSlot(model, variant);
    if (slot == nullptr) slot = FindModel(model)->slots.emplace_back(std::make_unique<Slot>()).get();
    slot->settings = wanted;
    serving->counter = slot->counter;
  }
  SetState(model, variant, VariantState::kLoading, OkStatus(), nullptr);
  if (reporter_ != nullptr) reporter_->OnLoadStart(model, variant);
  serving->telemetry = telemetry_->ForVariant({model, variant, wanted.precision});
  const TimePoint start = clock_->Now();
  auto loaded = loader_->Load(*resources, wanted, serving->telemetry, [this](auto what, int64_t done, int64_t total) {
    if (reporter_ != nullptr) reporter_->OnProgress(what, done, total);
  });
  if (loaded.ok()) {
    serving->model = model;
    serving->name = variant;
    serving->resources = resources;
    serving->instance = std::move(loaded->instance);
    serving->info = std::move(loaded->info);
    serving->info.requested_precision = wanted.precision;
    serving->info.digest = resources->digest;
    serving->info.load_seconds = ToSeconds(clock_->Now() - start);
    serving->max_context = loaded->max_context;
    serving->kernel_refusals = std::move(loaded->kernel_refusals);
    serving->telemetry->OnLoaded(serving->info);
    SetState(model, variant, VariantState::kReady, OkStatus(), MakeServing(std::move(serving)));
  } else {
    SetState(model, variant, VariantState::kFailed, loaded.status(), nullptr);
  }
  auto snapshot = Snapshot(model, variant);
  if (reporter_ != nullptr && snapshot.ok()) reporter_->OnLoadEnd(*snapshot);
  if (!loaded.ok()) return loaded.status();
  return snapshot;
}

StatusOr<VariantSnapshot> VariantRegistry::UnloadNow(const std::string& model, const std::string& variant, bool drain,
                                                     Duration drain_timeout) {
  std::shared_ptr<ServingVariant> serving;
  {
    MutexLock lock(&mutex_);
    if (FindModel(model) == nullptr) return UnknownModelError(model);
    Slot* slot = FindSlot(model, variant);
    if (slot == nullptr) return UnknownVariantError(model, variant);
    serving = slot->serving;
    if (serving != nullptr && !drain && slot->counter->Get().in_flight() > 0) {
      return WithDetail(FailedPrecondition("variant \"{}\" of model \"{}\" has {} requests running", variant, model,
                                           slot->counter->Get().in_flight()),
                        {.reason = "VARIANT_IN_USE",
                         .precondition_type = "REQUESTS_RUNNING",
                         .precondition_subject = model + ":" + variant});
    }
  }
  if (serving != nullptr) {
    SetState(model, variant, VariantState::kDraining, OkStatus(), serving);
    const TimePoint deadline = clock_->Now() + (drain ? drain_timeout : Duration::zero());
    serving->instance->Drain(deadline);
    // The instance ends what is left at the deadline; the margin is for its last step.
    const TimePoint give_up = deadline + std::chrono::seconds(30);
    while (serving->counter->Get().in_flight() > 0 && clock_->Now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    serving->telemetry->OnUnloaded();
  }
  SetState(model, variant, VariantState::kUnloaded, OkStatus(), nullptr);
  return Snapshot(model, variant);
}

std::shared_ptr<ServingVariant> VariantRegistry::MakeServing(std::unique_ptr<ServingVariant> variant) {
  {
    MutexLock lock(&mutex_);
    ++live_instances_;
  }
  return std::shared_ptr<ServingVariant>(variant.release(), [this](ServingVariant* dead) {
    const auto destroy = [this, dead] {
      delete dead;
      MutexLock lock(&mutex_);
      --live_instances_;
      destroyed_.SignalAll();
    };
    // A full queue cannot be waited for here; a thread of its own is the rare way out.
    if (!control_->Post(destroy)) std::thread(destroy).detach();
  });
}

uint64_t VariantRegistry::Watch(WatchFn fn) {
  MutexLock lock(&mutex_);
  watchers_[next_watcher_] = std::move(fn);
  return next_watcher_++;
}

void VariantRegistry::Unwatch(uint64_t id) {
  MutexLock lock(&mutex_);
  watchers_.erase(id);
}

void VariantRegistry::SetState(std::string_view model, std::string_view variant, VariantState state, Status error,
                               std::shared_ptr<ServingVariant> serving) {
  std::vector<WatchFn> watchers;
  VariantSnapshot snapshot;
  {
    MutexLock lock(&mutex_);
    Slot* slot = FindSlot(model, variant);
    if (slot == nullptr) return;
    slot->state = state;
    slot->error = std::move(error);
    slot->serving.swap(serving);  // the old one goes after the lock
    if (state == VariantState::kReady) slot->loaded_at = std::chrono::system_clock::now();
    snapshot = Describe(*FindModel(model), *slot);
    for (const auto& [id, fn] : watchers_) watchers.push_back(fn);
  }
  telemetry_->ForVariant({snapshot.model, snapshot.settings.name, snapshot.settings.precision})->OnStateChange(state);
  for (const WatchFn& fn : watchers) fn(snapshot);
}

bool VariantRegistry::Poll(Duration stuck_after) {
  bool moving = true;
  for (const VariantSnapshot& variant : Snapshots()) {
    if (variant.serving == nullptr) continue;
    const ModelInstance& instance = *variant.serving->instance;
    if (variant.state == VariantState::kReady && instance.state() == ModelInstance::State::kFailed) {
      // Whoever still holds it sees its sequences end; the slot lets go of it.
      SetState(variant.model, variant.settings.name, VariantState::kFailed, Internal("the engine stopped"), nullptr);
      variant.serving->telemetry->OnUnloaded();
      continue;
    }
    if (instance.HasWork() && clock_->Now() - instance.last_progress() > stuck_after) moving = false;
  }
  return moving;
}

void VariantRegistry::DrainAll(TimePoint deadline) {
  for (const VariantSnapshot& variant : Snapshots()) {
    if (variant.serving == nullptr) continue;
    SetState(variant.model, variant.settings.name, VariantState::kDraining, OkStatus(), variant.serving);
    variant.serving->instance->Drain(deadline);
  }
}

void VariantRegistry::Shutdown() {
  control_->Flush();
  for (const VariantSnapshot& variant : Snapshots()) {
    if (variant.serving == nullptr) continue;
    SetState(variant.model, variant.settings.name, VariantState::kUnloaded, OkStatus(), nullptr);
  }
  MutexLock lock(&mutex_);
  while (live_instances_ > 0) destroyed_.Wait(&mutex_);
}

}  // namespace bitrate
