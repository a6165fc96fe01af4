// A ThreadedInstance on the stub model, with hooks that run on the engine thread inside a step, so that tests hit a
// chosen moment (queued, prefill, decode, finishing) without sleeping.
#ifndef BITRATE_TESTS_UNIT_RUNTIME_INSTANCE_FIXTURE_H_
#define BITRATE_TESTS_UNIT_RUNTIME_INSTANCE_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/mutex.h"
#include "engine/runtime/threaded_instance.h"
#include "tests/unit/runtime/stub_model.h"

namespace bitrate {

class ManualClock final : public Clock {
 public:
  TimePoint Now() const override {
    MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(Duration d) {
    MutexLock lock(&mutex_);
    now_ += d;
  }

 private:
  mutable Mutex mutex_;
  TimePoint now_ GUARDED_BY(mutex_) = TimePoint(std::chrono::hours(1));
};

class CollectingSink final : public TokenSink {
 public:
  void OnEvent(TokenEvent event) override {
    MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
    changed_.SignalAll();
  }
  // Waits for the end.
  std::vector<TokenEvent> Finish() {
    MutexLock lock(&mutex_);
    while (events_.empty() || !events_.back().finished()) changed_.Wait(&mutex_);
    return events_;
  }
  std::vector<TokenEvent> events() {
    MutexLock lock(&mutex_);
    return events_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<TokenEvent> events_ GUARDED_BY(mutex_);
};

inline std::vector<int32_t> TokensOf(const std::vector<TokenEvent>& events) {
  std::vector<int32_t> tokens;
  for (const TokenEvent& event : events) {
    if (event.token_id.has_value()) tokens.push_back(*event.token_id);
  }
  return tokens;
}

// Opens once.
class Gate {
 public:
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (!open_) changed_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
};

// Thread-safe sums of what the engine reports.
class CountingObserver final : public InstanceObserver {
 public:
  struct Sums {
    StepStats steps;  // added up
    int num_steps = 0;
    int preemptions = 0;
    int computed = 0, cached = 0;
    std::vector<SequenceRecord> finished;
    InstanceGauges gauges;
  };
  void OnStep(const StepStats& s) override {
    MutexLock lock(&mutex_);
    StepStats& sum = sums_.steps;
    sum.device_seconds += s.device_seconds;
    sum.charged_prefill += s.charged_prefill;
    sum.charged_decode += s.charged_decode;
    sum.wasted += s.wasted;
    sum.prefill_tokens += s.prefill_tokens;
    sum.decode_tokens += s.decode_tokens;
    ++sums_.num_steps;
  }
  void OnGauges(const InstanceGauges& gauges) override {
    MutexLock lock(&mutex_);
    sums_.gauges = gauges;
  }
  void OnPreemption() override {
    MutexLock lock(&mutex_);
    ++sums_.preemptions;
  }
  void OnPromptTokens(int computed, int cached) override {
    MutexLock lock(&mutex_);
    sums_.computed += computed;
    sums_.cached += cached;
  }
  void OnSequenceFinished(const SequenceRecord& record) override {
    MutexLock lock(&mutex_);
    sums_.finished.push_back(record);
  }
  Sums sums() {
    MutexLock lock(&mutex_);
    return sums_;
  }

 private:
  Mutex mutex_;
  Sums sums_ GUARDED_BY(mutex_);
};

class InstanceTest : public testing::Test {
 protected:
  InstanceTest() : pool_(ComputePool::Options{.num_threads = 2, .pin_threads = false}) {
    options_.name = "stub:fp32";
    options_.max_sequences = 4;
    options_.max_step_tokens = 8;
    shape_.max_context = 64;
    shape_.num_blocks = 64;
  }

  // `on_step` runs on the engine thread at the start of each step after the warm-up, numbered from 1.
  using OnStep = std::function<Status(int step, const StepInput& input)>;
  void Start(OnStep on_step = nullptr) {
    auto model = std::make_unique<StubModel>(shape_);
    model_ = model.get();
    model->on_forward = [this, on_step](const StepInput& input) {
      const int step = ++forwards_ - 4;  // four warm-up steps
      return step > 0 && on_step ? on_step(step, input) : OkStatus();
    };
    auto instance = ThreadedInstance::Start(std::move(model), nullptr, &pool_, &clock_, &observer_, options_);
    ASSERT_TRUE(instance.ok()) << instance.status();
    instance_ = *std::move(instance);
  }

  SequenceSpec Spec(int prompt, int max_tokens) {
    SequenceSpec spec;
    spec.id = next_id_++;
    for (int i = 0; i < prompt; ++i) spec.prompt.push_back(3 + static_cast<int32_t>((spec.id * 5 + i) % 20));
    spec.sampling.temperature = 0;
    spec.stop.max_tokens = max_tokens;
    spec.stop.ignore_eos = true;
    spec.arrival = clock_.Now();
    spec.cancelled = std::make_shared<std::atomic<bool>>(false);
    spec.sink = std::make_shared<CollectingSink>();
    return spec;
  }
  static CollectingSink& Sink(const SequenceSpec& spec) { return static_cast<CollectingSink&>(*spec.sink); }
  static void Cancel(const SequenceSpec& spec) { spec.cancelled->store(true, std::memory_order_relaxed); }

  void ExpectAsAlone(const SequenceSpec& spec) {
    const std::vector<TokenEvent> events = Sink(spec).Finish();
    const SoloResult solo = SoloRun(spec, shape_);
    EXPECT_EQ(TokensOf(events), solo.tokens);
    EXPECT_EQ(events.back().finish, solo.finish);
    EXPECT_TRUE(events.back().status.ok()) << events.back().status;
  }

  ComputePool pool_;
  ManualClock clock_;
  CountingObserver observer_;
  InstanceOptions options_;
  StubModel::Shape shape_;
  StubModel* model_ = nullptr;
  std::atomic<int> forwards_{0};
  uint64_t next_id_ = 1;
  std::unique_ptr<ModelInstance> instance_;
};

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_RUNTIME_INSTANCE_FIXTURE_H_
