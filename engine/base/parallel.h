// How an operator uses the workers that its caller leased. An operator never starts threads of its own.
#ifndef BITRATE_ENGINE_BASE_PARALLEL_H_
#define BITRATE_ENGINE_BASE_PARALLEL_H_

#include <absl/functional/function_ref.h>

namespace bitrate {

class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual int num_workers() const = 0;
  // Calls fn(worker) once for each worker 0 .. num_workers()-1, concurrently, and returns when all have returned.
  // Worker 0 is the calling thread. Not reentrant. All writes made inside are visible to the caller afterwards.
  virtual void Run(absl::FunctionRef<void(int worker)> fn) = 0;
};

// One worker: the caller. For tests and tools.
class InlineParallel final : public Parallel {
 public:
  int num_workers() const override { return 1; }
  void Run(absl::FunctionRef<void(int worker)> fn) override { fn(0); }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_PARALLEL_H_
