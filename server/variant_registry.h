// Models and their variants: LOADING -> READY -> DRAINING -> UNLOADED, or FAILED. Loads run one after another on the
// control thread; a load that fails changes nothing else. Requests ask Acquire for a ready variant and hold what they
// get.
//
// Thread rule: thread-safe. Callbacks (watchers, results) run on the thread that made the change, without a lock held.
// Errors: NOT_FOUND unknown names; ALREADY_EXISTS loaded; FAILED_PRECONDITION unload while requests run;
// RESOURCE_EXHAUSTED over the memory budget; UNAVAILABLE while the control thread's queue is full; else the loader's.
#ifndef BITRATE_SERVER_VARIANT_REGISTRY_H_
#define BITRATE_SERVER_VARIANT_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/mutex.h"
#include "server/adapter_table.h"
#include "server/router.h"
#include "server/serving_variant.h"
#include "server/task_pool.h"

namespace bitrate {

// How loads are shown to whoever started the server.
class LoadReporter {
 public:
  virtual ~LoadReporter() = default;
  virtual void OnLoadStart(const std::string& model, const std::string& variant) = 0;
  virtual void OnProgress(std::string_view what, int64_t done, int64_t total) = 0;
  virtual void OnLoadEnd(const VariantSnapshot& variant) = 0;
};

class VariantRegistry {
 public:
  // Pointers must outlive the registry; `reporter` may be null.
  VariantRegistry(std::vector<ModelSettings> models, std::string default_model, ModelLoader* loader,
                  Telemetry* telemetry, const Clock* clock, LoadReporter* reporter);
  ~VariantRegistry();  // Shutdown must have been called

  // Opens every checkpoint and adds up what the variants to be loaded need. RESOURCE_EXHAUSTED when that is over
  // `budget` (0 = not checked), with the sum in the message. A model that cannot be opened makes its variants FAILED;
  // an error only when no model opens. `summary` gets a line per variant.
  Status OpenModels(uint64_t budget, std::string* summary);
  // Loads the adapters and every variant of the configuration that has `load`. Returns how many are READY.
  int LoadConfigured();

  using ResultFn = std::function<void(StatusOr<VariantSnapshot>)>;
  // `settings` for a variant that is not configured; unset, an unknown name is taken as the precision.
  void Load(std::string_view model, std::string_view variant, std::optional<VariantSettings> settings, ResultFn done);
  // Without `drain`: FAILED_PRECONDITION while requests run.
  void Unload(std::string_view model, std::string_view variant, bool drain, Duration drain_timeout, ResultFn done);

  // LoRA adapters (adapter_table.h), on the control thread.
  using AdapterFn = std::function<void(StatusOr<AdapterSnapshot>)>;
  void LoadAdapter(std::string_view model, AdapterSettings settings, AdapterFn done);
  void UnloadAdapter(std::string_view model, std::string_view adapter, bool drain, Duration drain_timeout,
                     AdapterFn done);
  const AdapterTable& adapters() const { return adapters_; }

  // "" = the default model. NOT_FOUND, or INVALID_ARGUMENT when there is no default.
  StatusOr<std::string> ResolveModel(std::string_view name) const;
  // Null when the model could not be opened.
  std::shared_ptr<const ModelResources> Resources(std::string_view model) const;
  StatusOr<RoutableModel> Routable(std::string_view model) const;
  std::vector<RoutableModel> RoutableModels() const;
  std::string ReferenceVariant(std::string_view model) const;  // configured, or empty
  bool IsReady(std::string_view model, std::string_view variant) const;
  // Null when it is not ready.
  std::shared_ptr<ServingVariant> Acquire(std::string_view model, std::string_view variant) const;
  bool AnyReady() const;

  std::vector<std::string> ModelNames() const;
  const std::string& default_model() const { return default_model_; }
  std::vector<VariantSnapshot> Snapshots(std::string_view model = "") const;
  StatusOr<VariantSnapshot> Snapshot(std::string_view model, std::string_view variant) const;

  // `fn` is called after every change of a variant.
  using WatchFn = std::function<void(const VariantSnapshot&)>;
  uint64_t Watch(WatchFn fn);
  void Unwatch(uint64_t id);

  // Sees instances that failed by themselves. Returns false when one with work made no progress for `stuck_after`.
  bool Poll(Duration stuck_after);

  // Stops all admission now; sequences still running at `deadline` end with UNAVAILABLE.
  void DrainAll(TimePoint deadline);
  // Lets go of every instance and waits until each is destroyed. No request may be running.
  void Shutdown();

 private:
  struct Slot;
  struct ModelEntry;

  ModelEntry* FindModel(std::string_view name) REQUIRES(mutex_);
  const ModelEntry* FindModel(std::string_view name) const REQUIRES(mutex_);
  Slot* FindSlot(std::string_view model, std::string_view variant) REQUIRES(mutex_);
  const Slot* FindSlot(std::string_view model, std::string_view variant) const REQUIRES(mutex_);
  VariantSnapshot Describe(const ModelEntry& model, const Slot& slot) const REQUIRES(mutex_);
  void LoadConfiguredAdapters();
  void SetState(std::string_view model, std::string_view variant, VariantState state, Status error,
                std::shared_ptr<ServingVariant> serving);
  StatusOr<VariantSnapshot> LoadNow(const std::string& model, const std::string& variant,
                                    const std::optional<VariantSettings>& settings);
  StatusOr<VariantSettings> PrepareSlot(const std::string& model, const std::string& variant,
                                        const std::optional<VariantSettings>& settings, uint64_t* resident);
  StatusOr<VariantSnapshot> UnloadNow(const std::string& model, const std::string& variant, bool drain,
                                      Duration drain_timeout);
  std::shared_ptr<ServingVariant> MakeServing(std::unique_ptr<ServingVariant> variant);

  const std::string default_model_;
  ModelLoader* const loader_;
  Telemetry* const telemetry_;
  const Clock* const clock_;
  LoadReporter* const reporter_;
  AdapterTable adapters_;
  uint64_t budget_ = 0;
  mutable Mutex mutex_;
  CondVar destroyed_;
  std::vector<std::unique_ptr<ModelEntry>> models_ GUARDED_BY(mutex_);
  std::map<uint64_t, WatchFn> watchers_ GUARDED_BY(mutex_);
  uint64_t next_watcher_ GUARDED_BY(mutex_) = 1;
  int live_instances_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<TaskPool> control_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_VARIANT_REGISTRY_H_
