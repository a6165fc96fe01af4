#include "engine/base/large_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <iterator>
#include <map>

#include "engine/base/check.h"
#include "engine/base/mutex.h"

namespace bitrate {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kChunk = size_t{16} << 20;

size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Address space of `bytes`, a multiple of kHugePage, aligned to it; 0 when there is none.
uintptr_t MapChunk(size_t bytes) {
  void* base = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return 0;
  const auto begin = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = RoundUp(begin, kHugePage);
  if (aligned > begin) munmap(base, aligned - begin);
  const uintptr_t end = begin + bytes + kHugePage;
  if (end > aligned + bytes) munmap(reinterpret_cast<void*>(aligned + bytes), end - aligned - bytes);
  // Only advice: a kernel without huge pages serves small ones.
  madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
  return aligned;
}

class Arena {
 public:
  void* Allocate(size_t bytes) EXCLUDES(mutex_) {
    if (bytes > SIZE_MAX / 2) return nullptr;
    bytes = RoundUp(bytes, kPage);
    MutexLock lock(&mutex_);
    for (auto& [base, chunk] : chunks_) {
      for (auto range = chunk.free.begin(); range != chunk.free.end(); ++range) {
        if (range->second >= bytes) return Take(base, chunk, range, bytes);
      }
    }
    const size_t size = RoundUp(bytes > kChunk ? bytes : kChunk, kHugePage);
    const uintptr_t base = MapChunk(size);
    if (base == 0) return nullptr;
    Chunk& chunk = chunks_[base];
    chunk.size = size;
    chunk.free[0] = size;
    return Take(base, chunk, chunk.free.begin(), bytes);
  }

  void Free(void* data, size_t bytes) EXCLUDES(mutex_) {
    bytes = RoundUp(bytes, kPage);
    const auto address = reinterpret_cast<uintptr_t>(data);
    MutexLock lock(&mutex_);
    auto it = chunks_.upper_bound(address);
    BITRATE_CHECK(it != chunks_.begin());
    --it;
    Chunk& chunk = it->second;
    BITRATE_CHECK(address + bytes <= it->first + chunk.size);
    allocated_ -= bytes;
    chunk.used -= bytes;
    if (chunk.used == 0) {
      munmap(reinterpret_cast<void*>(it->first), chunk.size);
      chunks_.erase(it);
      return;
    }
    madvise(data, bytes, MADV_DONTNEED);  // reads as zeros from now on, so what is handed out again is zero-filled
    Merge(chunk, address - it->first, bytes);
  }

  LargeMemoryUse Use() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    LargeMemoryUse use;
    for (const auto& [base, chunk] : chunks_) use.mapped_bytes += chunk.size;
    use.allocated_bytes = allocated_;
    return use;
  }

 private:
  using Ranges = std::map<size_t, size_t>;  // offset -> bytes, none adjacent to another
  struct Chunk {
    size_t size = 0, used = 0;
    Ranges free;
  };

  void* Take(uintptr_t base, Chunk& chunk, Ranges::iterator range, size_t bytes) REQUIRES(mutex_) {
    const auto [offset, length] = *range;
    chunk.free.erase(range);
    if (length > bytes) chunk.free[offset + bytes] = length - bytes;
    chunk.used += bytes;
    allocated_ += bytes;
    return reinterpret_cast<void*>(base + offset);
  }

  static void Merge(Chunk& chunk, size_t offset, size_t bytes) {
    auto next = chunk.free.lower_bound(offset);
    BITRATE_CHECK(next == chunk.free.end() || offset + bytes <= next->first);
    if (next != chunk.free.end() && next->first == offset + bytes) {
      bytes += next->second;
      next = chunk.free.erase(next);
    }
    if (next != chunk.free.begin()) {
      auto previous = std::prev(next);
      BITRATE_CHECK(previous->first + previous->second <= offset);
      if (previous->first + previous->second == offset) {
        previous->second += bytes;
        return;
      }
    }
    chunk.free[offset] = bytes;
  }

  Mutex mutex_;
  std::map<uintptr_t, Chunk> chunks_ GUARDED_BY(mutex_);
  size_t allocated_ GUARDED_BY(mutex_) = 0;
};

// Never destroyed: static objects may still own buffers when the process ends.
Arena& TheArena() {
  static Arena& arena = *new Arena;
  return arena;
}

}  // namespace

void* AllocateLarge(size_t bytes) { return TheArena().Allocate(bytes); }
void FreeLarge(void* data, size_t bytes) { TheArena().Free(data, bytes); }
LargeMemoryUse GetLargeMemoryUse() { return TheArena().Use(); }

}  // namespace bitrate
