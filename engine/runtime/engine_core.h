// An instance without its threads: sequences, scheduler, runner, stops, accounting. One step is
//
//   Sweep (drop cancelled and expired) -> Plan -> Execute (under a lease of the pool) -> Commit
//
// and what is to be told comes out of TakeDeliveries. Time is passed in, so the simulation runs it on a virtual clock.
//
// Invariants: a sequence taken by Add gets exactly one finished event, the last one of its sequence; its blocks are
// free by then; the device-seconds of each Commit are booked in full (charged or wasted). Thread rule: single-threaded
// (the engine thread).
#ifndef BITRATE_ENGINE_RUNTIME_ENGINE_CORE_H_
#define BITRATE_ENGINE_RUNTIME_ENGINE_CORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/parallel.h"
#include "engine/kv/block_pool.h"
#include "engine/runtime/delivery.h"
#include "engine/runtime/live_sequence.h"
#include "engine/runtime/model_runner.h"
#include "engine/runtime/observer.h"
#include "engine/runtime/scheduler.h"
#include "engine/runtime/step_cost.h"
#include "engine/runtime/step_time_model.h"

namespace bitrate {

class EngineCore {
 public:
  // Queue space that sequences gave back because they were admitted or ended.
  struct QueueRelease {
    int num_sequences = 0;
    int64_t num_tokens = 0;
  };

  // `observer` and `tokenizer` may be null. `allocator` null = the normal one (a seam for planted bugs).
  EngineCore(std::unique_ptr<StepModel> model, std::shared_ptr<const Tokenizer> tokenizer, InstanceObserver* observer,
             std::string variant, const SchedulerOptions& options, std::unique_ptr<BlockAllocator> allocator = nullptr);

  // What Submit refuses: INVALID_ARGUMENT naming the field. Pure; any thread.
  static Status Validate(const SequenceSpec& spec, const StepModelInfo& info, bool has_tokenizer);

  // The choices of one request, each passing Validate.
  void Add(std::vector<SequenceSpec> specs, TimePoint now);

  // Ends sequences that were cancelled or whose deadline has passed.
  void Sweep(TimePoint now);

  // False when there is nothing to compute.
  bool Plan(TimePoint now);
  // Runs the planned step. Never throws; a failure is kept for Commit.
  void Execute(Parallel& parallel);
  // Books the step and emits its results. `step_seconds` = wall time of the lease, `device_seconds` = what it cost.
  void Commit(double step_seconds, double device_seconds, TimePoint now);

  // Steps whose results are thrown away, for Start; booked by BookWasted. `clock` times them for the step-time model.
  Status WarmUp(Parallel& parallel, const Clock& clock);
  void BookWasted(double step_seconds, double device_seconds);

  // Ends everything with `status`. After an exception the scheduler is not to be trusted: then `broken` leaves it
  // alone, and only Add's promise of one finished event is kept.
  void EndAll(const Status& status, TimePoint now, bool broken = false);

  bool HasWork() const { return !live_.empty(); }
  // Not OK once no later step can succeed: the model says so, or several steps in a row failed.
  const Status& sticky_error() const { return sticky_error_; }
  InstanceGauges gauges() const;
  std::vector<Delivery> TakeDeliveries();
  QueueRelease TakeQueueRelease();
  const StepModelInfo& info() const { return info_; }
  const Scheduler& scheduler() const { return scheduler_; }
  const BlockPool& pool() const { return pool_; }
  const StepPlan& plan() const { return plan_; }
  const std::vector<std::unique_ptr<LiveSequence>>& live() const { return live_; }
  const StepTimeCoefficients& step_time() const { return step_time_.coefficients(); }
  std::string CheckInvariants() const;

 private:
  LiveSequence& Live(const PlanEntry& entry) { return static_cast<LiveSequence&>(*entry.sequence); }
  void NoteAdmissions(TimePoint now);
  void BookStep(double step_seconds, double device_seconds);
  void CommitEntry(const PlanEntry& entry, EntryResult& result, TimePoint now);
  void TakeScores(LiveSequence& sequence, EntryResult& result);
  void EmitToken(LiveSequence& sequence, EntryResult& result, TimePoint now);
  std::string CacheSeed(const SequenceSpec& spec, int64_t num_tokens) const;
  void AttachPromptLogprobs(LiveSequence& sequence, TokenEvent* event);
  TokenEvent NewEvent(LiveSequence& sequence, TimePoint now);
  void Emit(LiveSequence& sequence, TokenEvent event);
  void End(LiveSequence& sequence, FinishReason finish, Status status, TokenEvent event, TimePoint now);
  void Retire(LiveSequence& sequence);
  void ReleaseQueueSpace(const LiveSequence& sequence);

  const std::unique_ptr<StepModel> model_;
  const StepModelInfo info_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  InstanceObserver* const observer_;
  const std::string variant_;
  const SchedulerOptions options_;
  BlockPool pool_;
  Scheduler scheduler_;
  ModelRunner runner_;
  StepTimeModel step_time_;

  std::vector<std::unique_ptr<LiveSequence>> live_;   // in order of arrival
  std::vector<std::unique_ptr<LiveSequence>> ended_;  // of the step being committed: the plan still points at them
  StepPlan plan_;
  std::vector<EntryResult> results_;
  std::vector<EntryCost> costs_;
  Status step_status_;
  Status sticky_error_;
  int failed_steps_ = 0;
  bool broken_ = false;
  uint64_t next_ticket_ = 1;
  uint64_t next_group_ = 1;
  QueueRelease release_;
  std::vector<Delivery> deliveries_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_ENGINE_CORE_H_
