// A fixed set of threads that run one function at a time together with the caller. The mechanism under ComputePool,
// which hands the team from client to client; use that.
//
// Helpers spin briefly after a Run and then park on a futex. Run never waits for a helper that has not started: the
// caller takes over its share.
//
// Thread rule: one thread calls Run at a time, and the calls are ordered by a lock of the owner.
#ifndef BITRATE_ENGINE_BASE_WORKER_TEAM_H_
#define BITRATE_ENGINE_BASE_WORKER_TEAM_H_

#include <absl/functional/function_ref.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace bitrate {

// How long one thread busy-waits before it parks. On a machine with more runnable threads than CPUs spinning steals the
// time of the thread that is waited for, and shows: two looks at the clock lie a time slice apart. Then it spins less.
class Spinner {
 public:
  // Polls until done() or the budget is spent; the last value of done().
  template <typename Done>
  bool SpinUntil(const Done& done);

 private:
  using Duration = std::chrono::steady_clock::duration;
  static constexpr int kPollsPerLook = 16;
  static constexpr Duration kMaxBudget = std::chrono::microseconds(50);
  static constexpr Duration kMinBudget = std::chrono::microseconds(2);
  static constexpr Duration kPreempted = std::chrono::microseconds(500);
  Duration budget_ = kMaxBudget;
};

class WorkerTeam {
 public:
  // `pin`: helpers stay on CPUs of the process's affinity mask, one each, where it has enough of them and no cgroup
  // quota says that they are shared with others.
  WorkerTeam(int num_workers, bool pin);
  ~WorkerTeam();
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;

  int num_workers() const { return num_workers_; }
  void Run(absl::FunctionRef<void(int worker)> fn);  // as Parallel::Run

 private:
  // Whoever moves worker w's claim to the current generation runs fn(w).
  struct alignas(64) ClaimSlot {
    std::atomic<uint32_t> generation{0};
  };

  uint32_t Publish();
  bool Claim(int worker, uint32_t generation);
  void Complete();
  void AwaitCompletion();
  void HelperLoop(int worker, int cpu);
  void Park(uint32_t seen);

  const int num_workers_;
  std::vector<ClaimSlot> claims_;
  // Helpers poll the first line, everybody writes the second.
  alignas(64) std::atomic<uint32_t> generation_{0};
  const absl::FunctionRef<void(int)>* fn_ = nullptr;
  std::atomic<uint32_t> parked_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<uint32_t> pending_{0};
  std::atomic<bool> waiting_{false};
  alignas(64) Spinner spinner_;  // of the caller
  std::vector<std::thread> threads_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_WORKER_TEAM_H_
