// The LoRA adapters of the server's models, by model and name: "model+adapter" in a selector.
//
// An adapter belongs to a model and serves every variant of it. Requests hold what Acquire gave them, so unloading
// takes the name away at once and the memory goes with the last request that uses it. A configured adapter that could
// not be loaded keeps its name and its error, as a variant does, and may be loaded again.
//
// Thread rule: thread-safe; Load and Unload on the registry's control thread, one at a time.
// Errors: NOT_FOUND naming what there is; ALREADY_EXISTS loaded; FAILED_PRECONDITION unload while requests use it;
// RESOURCE_EXHAUSTED too many; else the loader's.
#ifndef BITRATE_SERVER_ADAPTER_TABLE_H_
#define BITRATE_SERVER_ADAPTER_TABLE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"
#include "server/serving_variant.h"

namespace bitrate {

// An adapter at one moment.
struct AdapterSnapshot {
  std::string model, name, path;
  Status error;  // not OK: it could not be loaded, and nothing below is set
  std::string id;
  uint64_t bytes = 0;
  int64_t max_rank = 0;
  int num_modules = 0;
  bool in_use = false;
  std::chrono::system_clock::time_point loaded_at{};
};

class AdapterTable {
 public:
  AdapterTable(ModelLoader* loader, Telemetry* telemetry, const Clock* clock)
      : loader_(loader), telemetry_(telemetry), clock_(clock) {}

  // `keep_error`: a failure is remembered under the name (for configured adapters).
  StatusOr<AdapterSnapshot> Load(const ModelResources& model, const AdapterSettings& settings, bool keep_error);
  // For an adapter of a model that could not be opened.
  void RememberError(const std::string& model, const AdapterSettings& settings, const Status& error);
  // Without `drain`: FAILED_PRECONDITION while requests use it. With it: the name goes at once, and the call waits
  // until they have ended, at most `timeout`; the snapshot says whether some are left, which go on.
  StatusOr<AdapterSnapshot> Unload(const std::string& model, const std::string& name, bool drain, Duration timeout);

  // What a sequence holds while it runs.
  StatusOr<std::shared_ptr<const Adapter>> Acquire(std::string_view model, std::string_view name) const;
  std::vector<AdapterSnapshot> List(std::string_view model = "") const;  // "" = of all models

 private:
  struct Entry {
    AdapterSnapshot about;
    std::shared_ptr<const Adapter> adapter;  // null after an error
  };
  Entry* Find(std::string_view model, std::string_view name) REQUIRES(mutex_);
  const Entry* Find(std::string_view model, std::string_view name) const REQUIRES(mutex_);
  Status UnknownError(std::string_view model, std::string_view name) const REQUIRES(mutex_);
  static AdapterSnapshot Describe(const Entry& entry);

  ModelLoader* const loader_;
  Telemetry* const telemetry_;
  const Clock* const clock_;
  mutable Mutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);  // in order of loading
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_ADAPTER_TABLE_H_
