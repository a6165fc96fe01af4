// What the server knows of models and variants, as plain data, and the handle that a request holds while it runs.
#ifndef BITRATE_SERVER_SERVING_VARIANT_H_
#define BITRATE_SERVER_SERVING_VARIANT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/mutex.h"
#include "engine/base/progress.h"
#include "engine/base/status.h"
#include "engine/runtime/model_instance.h"
#include "server/settings.h"
#include "server/telemetry.h"

namespace bitrate {

class Adapter;
class ChatTemplate;
class Checkpoint;
class SourceFingerprints;
class Tokenizer;
class WeightStore;

// What the variants of a model share. Immutable but for the weight store and the fingerprints, which are thread-safe.
struct ModelResources {
  std::string name;
  std::string architecture;
  std::string digest;
  int64_t vocab_size = 0;
  int64_t max_context = 0;
  std::vector<int32_t> eos_ids;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const Tokenizer> tokenizer;         // null: token ids only
  std::shared_ptr<const ChatTemplate> chat_template;  // null: no chat prompts
  std::shared_ptr<WeightStore> weights;
  std::shared_ptr<SourceFingerprints> fingerprints;
  std::string source_identity;  // as Checkpoint says; empty = none
};

struct MemoryEstimate {
  uint64_t weights = 0;
  uint64_t kv = 0;
  uint64_t total() const { return weights + kv; }
};

struct LoadedVariant {
  std::unique_ptr<ModelInstance> instance;
  VariantInfo info;
  int64_t max_context = 0;
  std::vector<std::string> kernel_refusals;
};

// How a model becomes a running instance. The real one is engine_loader.h; tests have their own.
// Thread rule: called on the control thread only.
class ModelLoader {
 public:
  virtual ~ModelLoader() = default;
  virtual StatusOr<std::shared_ptr<const ModelResources>> Open(const ModelSettings& settings) = 0;
  virtual StatusOr<MemoryEstimate> Estimate(const ModelResources& model, const VariantSettings& settings) = 0;
  // `observer` outlives the instance.
  virtual StatusOr<LoadedVariant> Load(const ModelResources& model, const VariantSettings& settings,
                                       InstanceObserver* observer, const ProgressFn& progress) = 0;
  // A LoRA adapter for every variant of the model.
  virtual StatusOr<std::shared_ptr<const Adapter>> LoadAdapter(const ModelResources& model, const std::string& path) {
    return FailedPrecondition("{}: adapters of model {} are not supported", path, model.name);
  }
};

// Counts of one variant over all its loads: accepted = completed + failed + cancelled + expired + rejected + in_flight.
struct VariantCounts {
  int64_t accepted = 0, completed = 0, failed = 0, cancelled = 0, expired = 0, rejected = 0;
  int64_t in_flight() const { return accepted - completed - failed - cancelled - expired - rejected; }
};

class VariantCounter {
 public:
  void Accept() {
    MutexLock lock(&mutex_);
    ++counts_.accepted;
  }
  void Finish(Outcome outcome) {
    MutexLock lock(&mutex_);
    switch (outcome) {
      case Outcome::kOk:
        ++counts_.completed;
        break;
      case Outcome::kCancelled:
        ++counts_.cancelled;
        break;
      case Outcome::kDeadline:
        ++counts_.expired;
        break;
      case Outcome::kRejected:
        ++counts_.rejected;
        break;
      case Outcome::kError:
        ++counts_.failed;
        break;
    }
  }
  VariantCounts Get() const {
    MutexLock lock(&mutex_);
    return counts_;
  }

 private:
  mutable Mutex mutex_;
  VariantCounts counts_ GUARDED_BY(mutex_);
};

// A loaded variant, shared by the requests it serves. The last holder's release hands the instance to the control
// thread: an instance joins its own threads when it goes, so it may not go on one of them.
struct ServingVariant {
  std::string model;
  std::string name;
  std::shared_ptr<const ModelResources> resources;
  std::unique_ptr<ModelInstance> instance;
  VariantInfo info;
  int64_t max_context = 0;
  std::vector<std::string> kernel_refusals;
  VariantTelemetry* telemetry = nullptr;
  std::shared_ptr<VariantCounter> counter;

  uint64_t resident_bytes() const { return info.unique_weight_bytes + info.kv_bytes + info.scratch_bytes; }
};

// A variant at one moment.
struct VariantSnapshot {
  std::string model;
  VariantSettings settings;
  VariantState state = VariantState::kUnloaded;
  Status error;                             // with kFailed
  std::shared_ptr<ServingVariant> serving;  // null unless READY or DRAINING
  std::string digest;
  std::chrono::system_clock::time_point loaded_at{};
  VariantCounts counts;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_SERVING_VARIANT_H_
