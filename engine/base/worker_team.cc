#include "engine/base/worker_team.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "engine/base/usable_cpus.h"

namespace bitrate {
namespace {

using FutexWord = std::atomic<uint32_t>;
static_assert(sizeof(FutexWord) == 4 && FutexWord::is_always_lock_free);

// Sleeps while *word == expected. May return early; callers loop. Ordering comes from the atomics around it, never from
// the system call (which ThreadSanitizer cannot see).
void FutexWait(FutexWord* word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void FutexWakeAll(FutexWord* word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// Best effort: a refused pin costs speed, not correctness.
void PinThisThread(int cpu) {
  cpu_set_t* set = CPU_ALLOC(cpu + 1);
  if (set == nullptr) return;
  const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(cpu, bytes, set);
  sched_setaffinity(0, bytes, set);
  CPU_FREE(set);
}

}  // namespace

template <typename Done>
bool Spinner::SpinUntil(const Done& done) {
  if (done()) return true;
  const auto start = std::chrono::steady_clock::now();
  for (auto last = start;;) {
    for (int i = 0; i < kPollsPerLook; ++i) {
      if (done()) {
        budget_ = std::min(budget_ * 2, kMaxBudget);
        return true;
      }
      __builtin_ia32_pause();
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - last > kPreempted) {
      budget_ = std::max(budget_ / 8, kMinBudget);
      return done();
    }
    if (now - start >= budget_) return done();
    last = now;
  }
}

WorkerTeam::WorkerTeam(int num_workers, bool pin) : num_workers_(num_workers), claims_(num_workers) {
  const std::vector<int> cpus = AffinityCpus();
  const int usable = UsableCpus();
  pin = pin && usable == static_cast<int>(cpus.size()) && num_workers <= usable;
  for (int worker = 1; worker < num_workers; ++worker) {
    const int cpu = pin ? cpus[worker] : -1;
    threads_.emplace_back([this, worker, cpu] { HelperLoop(worker, cpu); });
  }
}

WorkerTeam::~WorkerTeam() {
  stop_.store(true, std::memory_order_relaxed);  // published by the generation
  Publish();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerTeam::Run(absl::FunctionRef<void(int)> fn) {
  if (num_workers_ == 1) return fn(0);
  fn_ = &fn;
  // Relaxed: helpers see it through the release of the generation.
  pending_.store(num_workers_ - 1, std::memory_order_relaxed);
  const uint32_t generation = Publish();
  fn(0);
  for (int worker = 1; worker < num_workers_; ++worker) {
    if (Claim(worker, generation)) {
      fn(worker);
      Complete();
    }
  }
  AwaitCompletion();
}

uint32_t WorkerTeam::Publish() {
  // seq_cst: this increment and the look at parked_ against Park's increment of parked_ and look at the generation
  // (Dekker): either we see the sleeper and wake it, or it sees the new generation and does not sleep. As a release it
  // also publishes fn_, pending_ and stop_.
  const uint32_t generation = generation_.fetch_add(1, std::memory_order_seq_cst) + 1;
  if (parked_.load(std::memory_order_seq_cst) > 0) FutexWakeAll(&generation_);
  return generation;
}

bool WorkerTeam::Claim(int worker, uint32_t generation) {
  // Relaxed is enough: the claimant got fn_ by acquiring the generation, and nothing is handed over by the claim. A
  // claim that is already at or past `generation` was taken by the caller of Run, perhaps several Runs ago. fn_ cannot
  // change between a successful claim and its Complete, because Run waits for that.
  std::atomic<uint32_t>& claim = claims_[worker].generation;
  uint32_t seen = claim.load(std::memory_order_relaxed);
  if (static_cast<int32_t>(seen - generation) >= 0) return false;
  return claim.compare_exchange_strong(seen, generation, std::memory_order_relaxed);
}

void WorkerTeam::Complete() {
  // Release: what fn wrote is visible to the caller of Run, which acquires pending_ (the chain of decrements is one
  // release sequence). seq_cst for a Dekker pair as in Publish, with waiting_ in AwaitCompletion.
  if (pending_.fetch_sub(1, std::memory_order_seq_cst) == 1 && waiting_.load(std::memory_order_seq_cst)) {
    FutexWakeAll(&pending_);
  }
}

void WorkerTeam::AwaitCompletion() {
  if (spinner_.SpinUntil([&] { return pending_.load(std::memory_order_acquire) == 0; })) return;
  waiting_.store(true, std::memory_order_seq_cst);
  for (;;) {
    const uint32_t left = pending_.load(std::memory_order_seq_cst);
    if (left == 0) break;
    // A decrement that is not the last changes the word without a wake: the wait is for the last one only.
    FutexWait(&pending_, left);
  }
  waiting_.store(false, std::memory_order_relaxed);
}

void WorkerTeam::HelperLoop(int worker, int cpu) {
  if (cpu >= 0) PinThisThread(cpu);
  Spinner spinner;
  for (uint32_t seen = 0;;) {
    if (!spinner.SpinUntil([&] { return generation_.load(std::memory_order_acquire) != seen; })) Park(seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    if (Claim(worker, seen)) {
      (*fn_)(worker);
      Complete();
    }
  }
}

void WorkerTeam::Park(uint32_t seen) {
  parked_.fetch_add(1, std::memory_order_seq_cst);
  while (generation_.load(std::memory_order_seq_cst) == seen) FutexWait(&generation_, seen);
  parked_.fetch_sub(1, std::memory_order_relaxed);  // a late look at parked_ costs a needless wake, nothing else
}

}  // namespace bitrate
