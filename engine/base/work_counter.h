// Hands out 0, 1, 2 ... to the workers of one Parallel::Run, each number once.
#ifndef BITRATE_ENGINE_BASE_WORK_COUNTER_H_
#define BITRATE_ENGINE_BASE_WORK_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace bitrate {

class WorkCounter {
 public:
  // Relaxed: only the number's uniqueness matters. What the items read was published by Run, and what they write is
  // published by its end.
  int64_t Next() { return next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<int64_t> next_{0};
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_WORK_COUNTER_H_
