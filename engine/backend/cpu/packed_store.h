// Where packed weights come from: a file of the packed-weight cache that an earlier start wrote, or the source. Mapped
// weights stay pages of the file, which processes share; with `copy` they move into 2 MiB pages of private memory.
//
// Weights are found by what their bytes depend on: the pack version, the layout, and format, shape and fingerprint of
// each source matrix. Not by their names (equal tensors are stored once), nor by the activations or the ISA (they are
// packed alike for all).
//
// Thread rule: thread-safe. Errors: RESOURCE_EXHAUSTED without memory, NOT_FOUND for parts that come without their data
// and are not in the cache.
#ifndef BITRATE_ENGINE_BACKEND_CPU_PACKED_STORE_H_
#define BITRATE_ENGINE_BACKEND_CPU_PACKED_STORE_H_

#include <memory>
#include <span>
#include <string>

#include "engine/artifact/tensor_cache.h"
#include "engine/backend/cpu/linear_pack.h"
#include "engine/base/status.h"

namespace bitrate::linear {

class PackedStore {
 public:
  // `cache` may be null: everything is packed.
  explicit PackedStore(std::shared_ptr<TensorCache> cache = nullptr, bool copy = false)
      : cache_(std::move(cache)), copy_(copy) {}

  // `fingerprints` [parts]: of the parts' bytes, or empty: then the cache is left alone. With them, parts may come
  // without data.
  StatusOr<std::shared_ptr<const PackedWeights>> Get(std::span<const WeightMatrix> parts,
                                                     std::span<const std::string> fingerprints, const Scheme& scheme,
                                                     Parallel& parallel);

 private:
  std::shared_ptr<const PackedWeights> Find(const std::string& key, const Scheme& scheme, int64_t n, int64_t k,
                                            Parallel& parallel);

  const std::shared_ptr<TensorCache> cache_;
  const bool copy_;
};

// "packed/1|u4 g32 ...|k 576|Q4_1:576:<fingerprint>"
std::string PackedKey(std::span<const WeightMatrix> parts, std::span<const std::string> fingerprints,
                      const Scheme& scheme);

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_PACKED_STORE_H_
