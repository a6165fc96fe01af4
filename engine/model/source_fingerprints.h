// Fingerprints of the tensors of one checkpoint, each computed once and kept: in memory for its variants, and in the
// packed-weight cache under the checkpoint's source identity, so that a later start need not read the tensors.
//
// Thread rule: thread-safe; no lock is held while bytes are read (two threads may both compute one, with equal
// results).
#ifndef BITRATE_ENGINE_MODEL_SOURCE_FINGERPRINTS_H_
#define BITRATE_ENGINE_MODEL_SOURCE_FINGERPRINTS_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/artifact/tensor_cache.h"
#include "engine/base/mutex.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

// Of the bytes of a matrix and, for coded rows, of what their layout makes of them.
std::string FingerprintOf(const WeightMatrix& matrix);

class SourceFingerprints {
 public:
  // Unset when it was neither computed nor loaded yet.
  std::optional<std::string> Find(std::string_view name) const EXCLUDES(mutex_);
  // FingerprintOf(matrix), kept under `matrix.name`.
  std::string Of(const WeightMatrix& matrix) EXCLUDES(mutex_);

  // `identity`: Checkpoint::source_identity. Nothing happens where it is empty.
  void LoadFrom(TensorCache& cache, const std::string& identity, Parallel& parallel) EXCLUDES(mutex_);
  // Stores what is known, if there is something that is not stored yet.
  void StoreIn(TensorCache& cache, const std::string& identity) EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string, std::less<>> by_name_ GUARDED_BY(mutex_);
  bool changed_ GUARDED_BY(mutex_) = false;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_SOURCE_FINGERPRINTS_H_
