// Shares equal prepared tensors between the variants of a model: the int8 head of int8 and int4 exists once. Holds weak
// references only, so a tensor goes when its last variant goes.
//
// A key says what was prepared (see WeightKey): names and bytes of the source tensors and the backend's layout. Bytes
// are fingerprinted, because two fine-tunes of one model have the same names and shapes.
//
// Thread rule: thread-safe; no lock is held while a tensor is prepared (two loads at once may both prepare one; the
// first stored wins and both get it).
#ifndef BITRATE_ENGINE_MODEL_WEIGHT_STORE_H_
#define BITRATE_ENGINE_MODEL_WEIGHT_STORE_H_

#include <absl/functional/function_ref.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/backend/backend.h"
#include "engine/base/fingerprint.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"

namespace bitrate {

class WeightStore {
 public:
  struct Entry {
    std::shared_ptr<const LinearOp> op;
    bool shared = false;  // it was there already
  };
  // The operator stored under `key` while somebody holds it, else the result of `prepare`, which is then stored.
  StatusOr<Entry> GetOrPrepare(const std::string& key,
                               absl::FunctionRef<StatusOr<std::shared_ptr<const LinearOp>>()> prepare) EXCLUDES(mutex_);

  size_t num_live() const EXCLUDES(mutex_);

 private:
  std::shared_ptr<const LinearOp> Find(const std::string& key) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const LinearOp>> ops_ GUARDED_BY(mutex_);
};

// checkpoint digest + tensor names + fingerprints of their bytes (the spec's where it has them) and of the bias +
// Backend::PreparedKey of the spec.
std::string WeightKey(std::string_view checkpoint_digest, const LinearSpec& spec, const Backend& backend);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_WEIGHT_STORE_H_
