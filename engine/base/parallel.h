// How an operator uses the workers that its caller leased. An operator never starts threads of its own.
#ifndef BITRATE_ENGINE_BASE_PARALLEL_H_
#define BITRATE_ENGINE_BASE_PARALLEL_H_

#include <absl/functional/function_ref.h>

#include <cstdint>

#include "engine/base/range_claims.h"

namespace bitrate {

class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual int num_workers() const = 0;
  // Calls fn(worker) once for each worker 0 .. num_workers()-1, concurrently, and returns when all have returned.
  // Worker 0 is the calling thread. Not reentrant. All writes made inside are visible to the caller afterwards.
  virtual void Run(absl::FunctionRef<void(int worker)> fn) = 0;

  // Calls fn(worker, begin, end) for chunks that cover the items [0, count) exactly once, and returns when all have
  // returned. Each worker has a range of its own and helps others when it is through (range_claims.h): the chunks and
  // who computes them depend on timing, so fn's result for an item may depend on neither. No two calls with the same
  // `worker` are made at a time: scratch memory may go by it. As Run in everything else; no call at all for count 0.
  void RunRanges(int64_t count, absl::FunctionRef<void(int worker, int64_t begin, int64_t end)> fn) {
    if (count <= 0) return;
    if (num_workers() == 1) return fn(0, 0, count);
    RangeClaims claims(count, num_workers());
    Run([&](int worker) {
      for (RangeClaims::Chunk chunk; claims.Next(worker, &chunk);) fn(worker, chunk.begin, chunk.end);
    });
  }
};

// One worker: the caller. For tests and tools.
class InlineParallel final : public Parallel {
 public:
  int num_workers() const override { return 1; }
  void Run(absl::FunctionRef<void(int worker)> fn) override { fn(0); }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_PARALLEL_H_
