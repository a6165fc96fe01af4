// Decides what the next step computes. A pure function of queues, free blocks and limits: no clock, thread, device or
// tensor; time comes in as values, so that it is simulated by the hundred thousand (tests/unit/runtime).
//
// Rank: sequences are ordered by (class, arrival). The class is the priority, lowered by one for each `aging_ns` spent
// waiting (not below 0, so no class starves); a sequence preempted max_preemptions times is *protected*: it ranks
// before all others, is admitted only when its worst case fits beside the other protected ones, and is never preempted
// again.
//
// A step, within max_step_tokens:
//   1. Admission by rank, while slots, blocks and tokens last. All blocks of the known tokens are taken at admission,
//   so
//      prefill never runs out half-way; one block a running sequence stays free for growth. A waiting sequence of a
//      strictly more urgent class preempts running ones when slots or blocks are short.
//   2. Decodes, one token each. When blocks run out, the last in rank is preempted for the sake of those before it; it
//      is recomputed later. One that has nobody behind it waits a step, keeping its blocks.
//   3. Prefill chunks by rank, with what is left of the token budget and of the time budget. The time budget bounds
//      how long a step makes the decodes in it wait: the prefill tokens that fit are computed from the step-time model
//      and rounded down so that the step's rows fill the kernels' tiles. Prefill gets at least a quarter of the step's
//      time and min_prefill_tokens, however long the decodes take; without decodes nobody waits, and it gets the whole
//      token budget.
// Guarantees: with work present each step computes something, and the first in rank of the running ones advances
// (unless it is a prefill and decodes fill the whole budget: then within prefill_every steps); decodes come before
// prefill, and prefill gets a share of at least one step in prefill_every; no sequence is preempted more than
// max_preemptions times; more decodes than budget take turns.
// Choices of one request wait for the first of them to compute the prompt and then find it in the prefix cache.
//
// Thread rule: engine thread. Sequences are the caller's and must outlive their stay here.
#ifndef BITRATE_ENGINE_RUNTIME_SCHEDULER_H_
#define BITRATE_ENGINE_RUNTIME_SCHEDULER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "engine/base/limits.h"
#include "engine/kv/block_pool.h"
#include "engine/runtime/sequence.h"
#include "engine/runtime/step_time_model.h"

namespace bitrate {

struct SchedulerOptions {
  int max_sequences = 16;
  int max_step_tokens = 256;
  int64_t aging_ns = 10'000'000'000;  // ten seconds of waiting are worth one class
  int max_preemptions = 3;
  int prefill_every = 4;
  double step_budget_seconds = 0;  // of a step with decodes; 0 = tokens are the only limit
  int min_prefill_tokens = 8;      // of a step with decodes, where a prefill has as many pending and tokens are left
  bool prefix_cache = true;
};

struct PlanEntry {
  Sequence* sequence = nullptr;
  int64_t first = 0;  // position of its first token of this step
  int num_tokens = 0;
  int num_recomputed = 0;  // leading ones that were computed before a preemption
  bool decode = false;
  bool completes = false;  // the last known token is among them: its row yields the next token
};

struct StepPlan {
  std::vector<PlanEntry> entries;
  std::vector<Sequence*> admitted;
  std::vector<Sequence*> preempted;
  int num_decode_tokens = 0;
  int num_prefill_tokens = 0;
  void Clear();
  StepWork Work() const;
};

class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, BlockPool* pool);

  // Takes up a sequence that fits: its max_total_tokens need no more blocks than there are.
  void Add(Sequence* sequence);

  // `time` is what a step takes; all zero (nothing known) leaves the time budget out.
  void Schedule(int64_t now_ns, StepPlan* plan, const StepTimeCoefficients& time = {});

  // The tokens of `entry` are computed: counts them and registers blocks that became full.
  void Commit(const PlanEntry& entry);

  // What `sequence` computed, and what that was built on, is not to be reused (a NaN came of it).
  void Forget(Sequence* sequence);

  // What the running `sequence` computed is of no use any more: its blocks are freed, and it waits in its place by rank
  // to be computed again from its first token, under `cache_seed`. Not between Schedule and the Commit of its entry.
  void Restart(Sequence* sequence, std::string cache_seed, int64_t now_ns);

  // Takes `sequence` out, whatever its state, and frees its blocks.
  void Remove(Sequence* sequence);

  const std::vector<Sequence*>& running() const { return running_; }
  int num_waiting() const { return num_waiting_; }
  bool idle() const { return running_.empty() && num_waiting_ == 0; }

  // Recounts everything. Empty when all is well.
  std::string CheckInvariants() const;

 private:
  struct Rank {
    int urgency = 0;  // -1 protected, then the aged class
    uint64_t ticket = 0;
    bool Before(const Rank& other) const {
      return urgency != other.urgency ? urgency < other.urgency : ticket < other.ticket;
    }
  };
  // Queue 0 holds the protected, queue 1 + p those of priority p; each in order of arrival.
  static constexpr int kNumQueues = limits::kMaxPriority + 2;

  bool Protected(const Sequence& s) const { return s.num_preemptions() >= options_.max_preemptions; }
  Rank RankOf(const Sequence& s) const;
  int QueueOf(const Sequence& s) const { return Protected(s) ? 0 : 1 + s.priority(); }
  int64_t WorstCaseBlocks(const Sequence& s) const;
  void Enqueue(Sequence* s);

  StepWork RunningDecodes() const;
  int PrefillTokensInTime(const StepTimeCoefficients& time, const StepWork& decodes) const;
  void AdmitWaiting(StepPlan* plan);
  Sequence* NextCandidate() const;
  bool WaitsForSibling(const Sequence& s) const;
  bool HasTokensFor(const Rank& rank) const;
  bool ReservationFits(const Sequence& s) const;
  bool MakeRoom(Sequence* s, StepPlan* plan);
  bool Yields(const Sequence& s, const Rank& rank) const;
  bool PreemptForAdmission(const Rank& rank, int64_t missing_blocks, bool needs_slot, StepPlan* plan);
  void PlanDecodes(StepPlan* plan);
  bool TakeGrowthBlock(Sequence* s, StepPlan* plan);
  void PlanPrefills(StepPlan* plan);
  void AddEntry(Sequence* s, int num_tokens, StepPlan* plan);
  void Preempt(Sequence* victim, StepPlan* plan);
  void StopRunning(Sequence* sequence);

  const SchedulerOptions options_;
  BlockPool* const pool_;
  std::array<std::deque<Sequence*>, kNumQueues> waiting_;
  int num_waiting_ = 0;
  std::vector<Sequence*> running_;  // by rank, as of the last Schedule
  // State of the Schedule call in progress.
  int64_t now_ns_ = 0;
  int decode_limit_ = 0;
  int prefill_limit_ = 0;
  uint64_t step_ = 0;
  int steps_without_prefill_ = 0;
  std::vector<Sequence*> decodes_;  // scratch
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_SCHEDULER_H_
