#include "engine/kv/kv_cache.h"

#include <sys/mman.h>

#include <utility>

namespace bitrate {

StatusOr<KvCache> KvCache::Create(const KvGeometry& geometry, int64_t num_blocks) {
  uint64_t bytes = 0;
  if (num_blocks <= 0 || geometry.BlockBytes() == 0 ||
      __builtin_mul_overflow(static_cast<uint64_t>(num_blocks), geometry.BlockBytes(), &bytes)) {
    return InvalidArgument("KV cache: {} blocks of {} bytes", num_blocks, geometry.BlockBytes());
  }
  // Anonymous memory reads as zero and is backed on first touch. NORESERVE: the budget is checked by the server, not by
  // the kernel's overcommit heuristic.
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return ResourceExhausted("KV cache: cannot map {} bytes", bytes);
  KvCache cache;
  cache.geometry_ = geometry;
  cache.base_ = static_cast<std::byte*>(memory);
  cache.num_blocks_ = num_blocks;
  cache.bytes_ = bytes;
  return cache;
}

KvCache::KvCache(KvCache&& other) noexcept { *this = std::move(other); }

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(geometry_, other.geometry_);
  std::swap(base_, other.base_);
  std::swap(num_blocks_, other.num_blocks_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

KvCache::~KvCache() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

}  // namespace bitrate
