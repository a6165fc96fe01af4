// How the workers of one Parallel::RunRanges share items [0, count): one contiguous range for each worker, so that the
// same worker touches the same weights step after step, each range handed out in a few chunks. A worker that is through
// with its own range helps the one that has most left. So a worker that the system takes off its CPU delays one chunk,
// not the whole operator.
//
// Every item is in exactly one chunk. Which worker gets a chunk depends on timing: results must not.
//
// Thread rule: made by the caller of Run; Next is for all workers at a time.
#ifndef BITRATE_ENGINE_BASE_RANGE_CLAIMS_H_
#define BITRATE_ENGINE_BASE_RANGE_CLAIMS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace bitrate {

class RangeClaims {
 public:
  // Items a chunk: a range is cut in this many. More of them cost an atomic each and lose the prefetcher's run.
  static constexpr int kChunksPerRange = 4;
  // More workers than this share ranges with a neighbour: the object lives on the caller's stack.
  static constexpr int kMaxRanges = 32;

  struct Chunk {
    int64_t begin = 0;
    int64_t end = 0;
  };

  RangeClaims(int64_t count, int num_workers)
      : num_workers_(num_workers),
        num_ranges_(static_cast<int>(std::clamp<int64_t>(std::min<int64_t>(count, num_workers), 1, kMaxRanges))) {
    for (int r = 0; r < num_ranges_; ++r) {
      Range& range = ranges_[r];
      range.next.store(count * r / num_ranges_, std::memory_order_relaxed);  // published by Run
      range.end = count * (r + 1) / num_ranges_;
      const int64_t size = range.end - count * r / num_ranges_;
      range.chunk = std::max<int64_t>(1, (size + kChunksPerRange - 1) / kChunksPerRange);
    }
  }

  // The next chunk for `worker`; false when nothing is left to begin.
  bool Next(int worker, Chunk* chunk) {
    const auto own = static_cast<int>(int64_t{worker} * num_ranges_ / num_workers_);
    if (Take(ranges_[own], chunk)) return true;
    while (Range* slowest = MostLeft()) {
      if (Take(*slowest, chunk)) return true;  // else somebody was faster
    }
    return false;
  }

 private:
  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
    int64_t chunk;
  };

  // Relaxed throughout: only the uniqueness of the numbers matters. What the items read was published by Run, and what
  // they write is published by its end. A range that is used up is passed by at most one chunk for each look of each
  // worker, far from overflow.
  static bool Take(Range& range, Chunk* chunk) {
    if (range.next.load(std::memory_order_relaxed) >= range.end) return false;
    chunk->begin = range.next.fetch_add(range.chunk, std::memory_order_relaxed);
    chunk->end = std::min(chunk->begin + range.chunk, range.end);
    return chunk->begin < range.end;
  }

  Range* MostLeft() {
    Range* best = nullptr;
    int64_t most = 0;
    for (int r = 0; r < num_ranges_; ++r) {
      const int64_t left = ranges_[r].end - ranges_[r].next.load(std::memory_order_relaxed);
      if (left <= most) continue;
      most = left;
      best = &ranges_[r];
    }
    return best;
  }

  const int num_workers_;
  const int num_ranges_;
  Range ranges_[kMaxRanges];
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_RANGE_CLAIMS_H_
