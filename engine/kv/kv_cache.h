// The bytes of the KV blocks: geometry.BlockBytes() x num_blocks, page-aligned, zero, taken from the operating system
// page by page as blocks are first written (an idle server does not pay for its whole budget).
//
// Thread rule: a value; the bytes belong to the engine thread and the workers it leased.
// Errors: RESOURCE_EXHAUSTED when the address space cannot be had, INVALID_ARGUMENT for a product that overflows.
#ifndef BITRATE_ENGINE_KV_KV_CACHE_H_
#define BITRATE_ENGINE_KV_KV_CACHE_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/base/status.h"

namespace bitrate {

class KvCache {
 public:
  static StatusOr<KvCache> Create(const KvGeometry& geometry, int64_t num_blocks);
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  std::byte* base() { return base_; }
  const KvGeometry& geometry() const { return geometry_; }
  int64_t num_blocks() const { return num_blocks_; }
  uint64_t bytes() const { return bytes_; }

 private:
  KvCache() = default;
  KvGeometry geometry_;
  std::byte* base_ = nullptr;
  int64_t num_blocks_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_KV_KV_CACHE_H_
