// The ModelInstance there is: an EngineCore on an engine thread, fed by a bounded inbox, with a delivery thread behind.
// Kept apart from model_instance.h so that tests run it on a stub StepModel.
#ifndef BITRATE_ENGINE_RUNTIME_THREADED_INSTANCE_H_
#define BITRATE_ENGINE_RUNTIME_THREADED_INSTANCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "engine/base/bounded_inbox.h"
#include "engine/base/mutex.h"
#include "engine/runtime/delivery.h"
#include "engine/runtime/engine_core.h"
#include "engine/runtime/model_instance.h"
#include "engine/runtime/step_model.h"

namespace bitrate {

class ThreadedInstance final : public ModelInstance {
 public:
  static StatusOr<std::unique_ptr<ModelInstance>> Start(std::unique_ptr<StepModel> model,
                                                        std::shared_ptr<const Tokenizer> tokenizer, ComputePool* pool,
                                                        const Clock* clock, InstanceObserver* observer,
                                                        const InstanceOptions& options);
  ~ThreadedInstance() override;

  Status Submit(std::vector<SequenceSpec> sequences) override EXCLUDES(mutex_);
  void NotifyCancel() override;
  void Drain(TimePoint deadline) override EXCLUDES(mutex_);
  State state() const override EXCLUDES(mutex_);
  InstanceGauges gauges() const override EXCLUDES(mutex_);
  uint64_t kv_bytes() const override { return info_.kv_bytes; }
  int64_t max_context() const override { return info_.max_context; }
  bool HasWork() const override EXCLUDES(mutex_);
  TimePoint last_progress() const override EXCLUDES(mutex_);
  double LeasedSeconds() const override;

 private:
  using Request = std::vector<SequenceSpec>;

  ThreadedInstance(std::unique_ptr<StepModel> model, std::shared_ptr<const Tokenizer> tokenizer, ComputePool* pool,
                   const Clock* clock, InstanceObserver* observer, const InstanceOptions& options);

  // The engine thread.
  void Main() EXCLUDES(mutex_);
  Status WarmUp();
  void Loop() EXCLUDES(mutex_);
  void TakeRequests(std::vector<Request> requests) EXCLUDES(mutex_);
  void RunStep();
  void Publish(bool progress) EXCLUDES(mutex_);
  // Drained and idle, shut down or failed: the state it ends in. Ends what is left.
  std::optional<State> Over() EXCLUDES(mutex_);
  void Stop(State state, const Status& reason, bool broken) EXCLUDES(mutex_);
  void ReleaseQueueSpace(int num_sequences, int64_t num_tokens) EXCLUDES(mutex_);

  const InstanceOptions options_;
  const bool has_tokenizer_;
  ComputePool* const pool_;
  const Clock* const clock_;
  const ComputePool::ClientId client_;
  EngineCore core_;  // the engine thread's
  const StepModelInfo info_;
  BoundedInbox<Request> inbox_;

  mutable Mutex mutex_;
  CondVar started_;
  std::optional<Status> start_status_ GUARDED_BY(mutex_);
  State state_ GUARDED_BY(mutex_) = State::kReady;
  bool shut_down_ GUARDED_BY(mutex_) = false;
  TimePoint drain_deadline_ GUARDED_BY(mutex_) = kNoDeadline;
  int queued_sequences_ GUARDED_BY(mutex_) = 0;  // submitted, not yet admitted
  int64_t queued_tokens_ GUARDED_BY(mutex_) = 0;
  bool engine_busy_ GUARDED_BY(mutex_) = false;
  TimePoint last_progress_ GUARDED_BY(mutex_);
  InstanceGauges gauges_ GUARDED_BY(mutex_);

  // Declared last: they use everything above. Events end before the thread that delivers them.
  std::unique_ptr<DeliveryThread> delivery_;
  std::thread engine_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_THREADED_INSTANCE_H_
