#include "engine/runtime/threaded_instance.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace bitrate {
namespace {

SchedulerOptions ToSchedulerOptions(const InstanceOptions& options) {
  SchedulerOptions result;
  result.max_sequences = options.max_sequences;
  result.max_step_tokens = options.max_step_tokens;
  result.step_budget_seconds = options.step_budget_ms * 1e-3;
  result.prefix_cache = options.prefix_cache;
  return result;
}

}  // namespace

StatusOr<std::unique_ptr<ModelInstance>> ThreadedInstance::Start(std::unique_ptr<StepModel> model,
                                                                 std::shared_ptr<const Tokenizer> tokenizer,
                                                                 ComputePool* pool, const Clock* clock,
                                                                 InstanceObserver* observer,
                                                                 const InstanceOptions& options) {
  if (options.max_sequences < 1) return InvalidArgument("max_sequences: {}, wanted at least 1", options.max_sequences);
  if (options.max_step_tokens < 1) {
    return InvalidArgument("max_step_tokens: {}, wanted at least 1", options.max_step_tokens);
  }
  if (!(options.step_budget_ms >= 0)) {
    return InvalidArgument("step_budget_ms: {}, wanted at least 0", options.step_budget_ms);
  }
  if (options.max_queue < 1) return InvalidArgument("max_queue: {}, wanted at least 1", options.max_queue);
  std::unique_ptr<ThreadedInstance> instance(
      new ThreadedInstance(std::move(model), std::move(tokenizer), pool, clock, observer, options));
  ThreadedInstance* self = instance.get();
  self->engine_ = std::thread([self] { self->Main(); });
  Status status;
  {
    MutexLock lock(&self->mutex_);
    while (!self->start_status_.has_value()) self->started_.Wait(&self->mutex_);
    status = *self->start_status_;
  }
  if (!status.ok()) return Annotate(status, options.name);
  return std::unique_ptr<ModelInstance>(std::move(instance));
}

ThreadedInstance::ThreadedInstance(std::unique_ptr<StepModel> model, std::shared_ptr<const Tokenizer> tokenizer,
                                   ComputePool* pool, const Clock* clock, InstanceObserver* observer,
                                   const InstanceOptions& options)
    : options_(options),
      has_tokenizer_(tokenizer != nullptr),
      pool_(pool),
      clock_(clock),
      client_(pool->Register(options.name, options.pool_weight)),
      core_(std::move(model), std::move(tokenizer), observer, options.name, ToSchedulerOptions(options)),
      info_(core_.info()),
      inbox_(options.max_queue),
      last_progress_(clock->Now()),
      delivery_(std::make_unique<DeliveryThread>(options.name)) {}

ThreadedInstance::~ThreadedInstance() {
  {
    MutexLock lock(&mutex_);
    shut_down_ = true;
  }
  inbox_.Close();
  if (engine_.joinable()) engine_.join();
  delivery_.reset();
  pool_->Unregister(client_);
}

// --- Any thread ---

Status ThreadedInstance::Submit(std::vector<SequenceSpec> sequences) {
  if (sequences.empty()) return InvalidArgument("sequences: none given");
  int64_t num_tokens = 0;
  for (const SequenceSpec& spec : sequences) {
    RETURN_IF_ERROR(EngineCore::Validate(spec, info_, has_tokenizer_));
    num_tokens += static_cast<int64_t>(spec.prompt.size());
  }
  const int num_sequences = static_cast<int>(sequences.size());
  {
    MutexLock lock(&mutex_);
    if (state_ == State::kDraining) return Unavailable("{} is draining", options_.name);
    if (state_ != State::kReady || shut_down_) return Unavailable("{} is not running", options_.name);
    if (queued_sequences_ + num_sequences > options_.max_queue) {
      return ResourceExhausted("the queue of {} is full: {} of {} sequences wait, {} more came", options_.name,
                               queued_sequences_, options_.max_queue, num_sequences);
    }
    if (queued_tokens_ + num_tokens > options_.max_queue_tokens) {
      return ResourceExhausted("the queue of {} is full: {} of {} prompt tokens wait, {} more came", options_.name,
                               queued_tokens_, options_.max_queue_tokens, num_tokens);
    }
    if (queued_sequences_ == 0 && !engine_busy_) last_progress_ = clock_->Now();  // idle time is not being stuck
    queued_sequences_ += num_sequences;
    queued_tokens_ += num_tokens;
  }
  // Every request in the inbox holds at least one place in the queue, so the inbox cannot be full: it can be closed.
  if (inbox_.Push(std::move(sequences)) == BoundedInbox<Request>::PushResult::kOk) return OkStatus();
  ReleaseQueueSpace(num_sequences, num_tokens);
  return Unavailable("{} is not running", options_.name);
}

void ThreadedInstance::ReleaseQueueSpace(int num_sequences, int64_t num_tokens) {
  MutexLock lock(&mutex_);
  queued_sequences_ -= num_sequences;
  queued_tokens_ -= num_tokens;
}

void ThreadedInstance::NotifyCancel() { inbox_.Wake(); }

void ThreadedInstance::Drain(TimePoint deadline) {
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kReady && state_ != State::kDraining) return;
    state_ = State::kDraining;
    drain_deadline_ = std::min(drain_deadline_, deadline);
  }
  inbox_.Wake();
}

ModelInstance::State ThreadedInstance::state() const {
  MutexLock lock(&mutex_);
  return state_;
}

InstanceGauges ThreadedInstance::gauges() const {
  MutexLock lock(&mutex_);
  InstanceGauges gauges = gauges_;
  // Those still in the inbox wait too. Preempted ones wait without holding a place in the queue.
  gauges.waiting = std::max(gauges.waiting, queued_sequences_);
  return gauges;
}

bool ThreadedInstance::HasWork() const {
  MutexLock lock(&mutex_);
  return engine_busy_ || queued_sequences_ > 0;
}

TimePoint ThreadedInstance::last_progress() const {
  MutexLock lock(&mutex_);
  return last_progress_;
}

double ThreadedInstance::LeasedSeconds() const { return pool_->LeasedSeconds(client_); }

// --- The engine thread ---

void ThreadedInstance::Main() {
  NameThisThread("eng-", options_.name);
  const Status warm = WarmUp();
  {
    MutexLock lock(&mutex_);
    start_status_ = warm;
    if (!warm.ok()) state_ = State::kFailed;
    gauges_ = core_.gauges();
    last_progress_ = clock_->Now();
    started_.SignalAll();
  }
  if (!warm.ok()) return Stop(State::kFailed, warm, /*broken=*/false);
  // The loop's edge: an exception out of here (out of memory between steps) leaves the scheduler in an unknown state.
  try {
    Loop();
  } catch (const std::exception& e) {
    Stop(State::kFailed, Internal("{} failed: {}", options_.name, e.what()), /*broken=*/true);
  }
}

Status ThreadedInstance::WarmUp() {
  ComputePool::Lease lease = pool_->Acquire(client_);
  const int num_workers = lease.num_workers();
  const Status status = core_.WarmUp(lease, *clock_);
  const double device_seconds = lease.Finish();
  core_.BookWasted(device_seconds / num_workers, device_seconds);
  return status;
}

void ThreadedInstance::Loop() {
  bool waits = true;
  while (true) {
    TakeRequests(waits ? inbox_.WaitAndDrain() : inbox_.Drain());
    core_.Sweep(clock_->Now());
    if (const std::optional<State> state = Over()) {
      const bool failed = *state == State::kFailed;
      return Stop(*state, failed ? core_.sticky_error() : Unavailable("{} is shutting down", options_.name), false);
    }
    const bool stepped = core_.Plan(clock_->Now());
    if (stepped) RunStep();
    delivery_->Push(core_.TakeDeliveries());
    Publish(stepped);
    waits = !core_.HasWork() && !Over().has_value();  // a drain is over with its last sequence, not with a request
    if (waits) pool_->Leave(client_);
  }
}

void ThreadedInstance::TakeRequests(std::vector<Request> requests) {
  const TimePoint now = clock_->Now();
  for (Request& request : requests) core_.Add(std::move(request), now);
  if (requests.empty()) return;
  MutexLock lock(&mutex_);
  engine_busy_ = true;
}

void ThreadedInstance::RunStep() {
  ComputePool::Lease lease = pool_->Acquire(client_);
  const int num_workers = lease.num_workers();
  core_.Execute(lease);
  const double device_seconds = lease.Finish();
  core_.Commit(device_seconds / num_workers, device_seconds, clock_->Now());
}

void ThreadedInstance::Publish(bool progress) {
  const EngineCore::QueueRelease release = core_.TakeQueueRelease();
  MutexLock lock(&mutex_);
  queued_sequences_ -= release.num_sequences;
  queued_tokens_ -= release.num_tokens;
  engine_busy_ = core_.HasWork();
  gauges_ = core_.gauges();
  if (progress) last_progress_ = clock_->Now();
}

std::optional<ModelInstance::State> ThreadedInstance::Over() {
  if (!core_.sticky_error().ok()) return State::kFailed;
  const bool has_work = core_.HasWork();
  MutexLock lock(&mutex_);
  if (shut_down_) return State::kStopped;
  if (state_ != State::kDraining) return std::nullopt;
  // queued_sequences_ counts those that Submit has let in and not yet pushed: they will still arrive.
  const bool idle = !has_work && queued_sequences_ == 0;
  return idle || clock_->Now() >= drain_deadline_ ? std::optional(State::kStopped) : std::nullopt;
}

void ThreadedInstance::Stop(State state, const Status& reason, bool broken) {
  inbox_.Close();
  core_.EndAll(reason, clock_->Now(), broken);
  // What Submit let in before the close was promised an end, too.
  TakeRequests(inbox_.Drain());
  core_.EndAll(reason, clock_->Now(), broken);
  delivery_->Push(core_.TakeDeliveries());
  Publish(false);
  MutexLock lock(&mutex_);
  state_ = state;
}

}  // namespace bitrate
