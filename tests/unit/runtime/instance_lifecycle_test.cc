// How sequences and instances end otherwise than by themselves: cancel, deadline, drain, failure, shutdown.
#include <gtest/gtest.h>

#include <new>
#include <vector>

#include "tests/unit/runtime/instance_fixture.h"

namespace bitrate {
namespace {

using State = ModelInstance::State;

class CancelWindow : public InstanceTest, public testing::WithParamInterface<int> {};

// The sequence prefills in steps 1 to 3 and decodes from step 4 on. Cancelled inside step n, it is gone from step n
// + 1.
TEST_P(CancelWindow, LeavesTheBatchWithinOneStep) {
  const int window = GetParam();
  SequenceSpec spec, mate;
  int later_rows = 0;
  Start([&](int step, const StepInput& input) {
    if (step == window) Cancel(spec);
    if (step > window) {
      for (const int32_t position : input.positions) later_rows += position >= 24;  // only `spec` gets there
    }
    return OkStatus();
  });
  spec = Spec(30, 30);
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  mate = Spec(2, 12);
  ASSERT_TRUE(instance_->Submit({mate}).ok());
  const std::vector<TokenEvent> events = Sink(spec).Finish();
  ExpectAsAlone(mate);
  EXPECT_EQ(events.back().finish, FinishReason::kCancelled);
  EXPECT_EQ(events.back().status.code(), StatusCode::kCancelled);
  const std::vector<int32_t> solo = SoloRun(spec, shape_).tokens;
  const std::vector<int32_t> got = TokensOf(events);
  ASSERT_LE(got.size(), solo.size());
  EXPECT_TRUE(std::equal(got.begin(), got.end(), solo.begin()));
  EXPECT_EQ(later_rows, 0);
  EXPECT_GT(events.back().usage.device_seconds, 0) << "what it used stays charged to it";
  instance_.reset();
  EXPECT_EQ(observer_.sums().gauges.kv_blocks_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Steps, CancelWindow, testing::Values(1, 2, 3, 4, 5, 9));

TEST_F(InstanceTest, CancelledInTheQueueIsNeverScheduled) {
  options_.max_sequences = 1;
  Gate started, go;
  Start([&](int step, const StepInput&) {
    if (step == 1) {
      started.Open();
      go.Wait();
    }
    return OkStatus();
  });
  const SequenceSpec running = Spec(2, 3), queued = Spec(2, 3);
  ASSERT_TRUE(instance_->Submit({running}).ok());
  started.Wait();
  ASSERT_TRUE(instance_->Submit({queued}).ok());
  Cancel(queued);
  instance_->NotifyCancel();
  go.Open();
  ExpectAsAlone(running);
  const std::vector<TokenEvent> events = Sink(queued).Finish();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].finish, FinishReason::kCancelled);
  EXPECT_FALSE(events[0].first_scheduled);
  EXPECT_EQ(events[0].usage.device_seconds, 0);
}

TEST_F(InstanceTest, CancelledWhileFinishingStillEndsOnce) {
  SequenceSpec spec = Spec(4, 3);
  Start([&](int step, const StepInput&) {
    if (step == 3) Cancel(spec);  // the step of its last token
    return OkStatus();
  });
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  ExpectAsAlone(spec);
  Cancel(spec);
  instance_->NotifyCancel();
  instance_.reset();
  int ends = 0;
  for (const TokenEvent& event : Sink(spec).events()) ends += event.finished();
  EXPECT_EQ(ends, 1);
}

TEST_F(InstanceTest, DeadlinesEndRunningAndQueuedSequences) {
  options_.max_sequences = 1;
  Start([&](int, const StepInput&) {
    clock_.Advance(std::chrono::seconds(1));
    return OkStatus();
  });
  SequenceSpec running = Spec(4, 50), queued = Spec(4, 2), impatient = Spec(4, 2), patient = Spec(4, 2);
  running.deadline = clock_.Now() + std::chrono::seconds(5);
  queued.deadline = clock_.Now() + std::chrono::seconds(3);
  impatient.queue_deadline = clock_.Now() + std::chrono::seconds(2);
  patient.queue_deadline = clock_.Now() + std::chrono::seconds(50);
  ASSERT_TRUE(instance_->Submit({running, queued, impatient, patient}).ok());
  const TokenEvent ended = Sink(running).Finish().back();
  EXPECT_EQ(ended.finish, FinishReason::kDeadline);
  EXPECT_EQ(ended.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ended.usage.completion_tokens, 5);
  for (const SequenceSpec& spec : {queued, impatient}) {
    const std::vector<TokenEvent> events = Sink(spec).Finish();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].finish, FinishReason::kDeadline);
  }
  ExpectAsAlone(patient);
}

TEST_F(InstanceTest, DrainLetsWorkFinishAndRefusesNewWork) {
  options_.max_sequences = 1;
  Gate started, go;
  Start([&](int step, const StepInput&) {
    if (step == 1) {
      started.Open();
      go.Wait();
    }
    return OkStatus();
  });
  const SequenceSpec running = Spec(4, 5), queued = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({running}).ok());
  started.Wait();
  ASSERT_TRUE(instance_->Submit({queued}).ok());
  instance_->Drain(kNoDeadline);
  EXPECT_EQ(instance_->state(), State::kDraining);
  EXPECT_EQ(instance_->Submit({Spec(1, 1)}).code(), StatusCode::kUnavailable);
  go.Open();
  ExpectAsAlone(running);
  ExpectAsAlone(queued);
  while (instance_->state() != State::kStopped) std::this_thread::yield();
  EXPECT_EQ(instance_->Submit({Spec(1, 1)}).code(), StatusCode::kUnavailable);
  EXPECT_FALSE(instance_->HasWork());
}

TEST_F(InstanceTest, DrainDeadlineEndsWhatIsLeft) {
  options_.max_sequences = 1;
  Gate go;
  Start([&](int, const StepInput&) {
    go.Wait();
    clock_.Advance(std::chrono::seconds(1));
    return OkStatus();
  });
  const SequenceSpec running = Spec(4, 60), queued = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({running}).ok());
  ASSERT_TRUE(instance_->Submit({queued}).ok());
  instance_->Drain(clock_.Now() + std::chrono::seconds(10));
  go.Open();
  for (const SequenceSpec& spec : {running, queued}) {
    const TokenEvent last = Sink(spec).Finish().back();
    EXPECT_EQ(last.finish, FinishReason::kError);
    EXPECT_EQ(last.status.code(), StatusCode::kUnavailable);
  }
  while (instance_->state() != State::kStopped) std::this_thread::yield();
}

TEST_F(InstanceTest, AnIdleInstanceDrainsAtOnce) {
  Start();
  instance_->Drain(kNoDeadline);
  while (instance_->state() != State::kStopped) std::this_thread::yield();
}

TEST_F(InstanceTest, AFailedStepFailsItsSequencesOnly) {
  Start([&](int step, const StepInput&) { return step == 2 ? Internal("planned") : OkStatus(); });
  const SequenceSpec bad = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({bad}).ok());
  const TokenEvent last = Sink(bad).Finish().back();
  EXPECT_EQ(last.finish, FinishReason::kError);
  EXPECT_EQ(last.status.code(), StatusCode::kInternal);
  const SequenceSpec good = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({good}).ok());
  ExpectAsAlone(good);
  EXPECT_EQ(instance_->state(), State::kReady);
}

TEST_F(InstanceTest, AnExceptionInAStepIsAnInternalErrorOfThatStep) {
  Start([&](int step, const StepInput&) -> Status {
    if (step == 1) throw std::bad_alloc();
    return OkStatus();
  });
  const SequenceSpec bad = Spec(4, 5), good = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({bad}).ok());
  EXPECT_EQ(Sink(bad).Finish().back().status.code(), StatusCode::kInternal);
  ASSERT_TRUE(instance_->Submit({good}).ok());
  ExpectAsAlone(good);
}

TEST_F(InstanceTest, ALostDeviceFailsTheInstanceAndEverySequence) {
  options_.max_sequences = 2;
  Gate started, go;
  Start([&](int step, const StepInput&) {
    if (step < 2) return OkStatus();
    started.Open();
    go.Wait();
    model_->is_broken = true;
    return Internal("device lost");
  });
  std::vector<SequenceSpec> specs;
  for (int i = 0; i < 4; ++i) specs.push_back(Spec(4, 5));
  ASSERT_TRUE(instance_->Submit({specs[0], specs[1], specs[2]}).ok());
  started.Wait();
  ASSERT_TRUE(instance_->Submit({specs[3]}).ok());  // still in the inbox when the device is lost
  go.Open();
  for (const SequenceSpec& spec : specs) {
    const TokenEvent last = Sink(spec).Finish().back();
    EXPECT_EQ(last.finish, FinishReason::kError);
    EXPECT_EQ(last.status.code(), StatusCode::kInternal);
  }
  while (instance_->state() != State::kFailed) std::this_thread::yield();
  EXPECT_EQ(instance_->Submit({Spec(1, 1)}).code(), StatusCode::kUnavailable);
  instance_->Drain(kNoDeadline);
  EXPECT_EQ(instance_->state(), State::kFailed);
}

TEST_F(InstanceTest, StepsThatKeepFailingFailTheInstance) {
  Start([&](int, const StepInput&) { return Internal("planned"); });
  for (int i = 0; i < 3; ++i) {
    const SequenceSpec spec = Spec(4, 5);
    ASSERT_TRUE(instance_->Submit({spec}).ok());
    EXPECT_EQ(Sink(spec).Finish().back().status.code(), StatusCode::kInternal);
  }
  while (instance_->state() != State::kFailed) std::this_thread::yield();
}

TEST_F(InstanceTest, NanFailsItsSequenceOnlyAndIsNeverCached) {
  Start();
  SequenceSpec bad = Spec(12, 5), mate = Spec(12, 5);
  bad.prompt[9] = StubModel::kNanToken;
  ASSERT_TRUE(instance_->Submit({bad}).ok());
  ASSERT_TRUE(instance_->Submit({mate}).ok());
  const TokenEvent last = Sink(bad).Finish().back();
  EXPECT_EQ(last.finish, FinishReason::kError);
  EXPECT_EQ(last.status.code(), StatusCode::kInternal);
  EXPECT_EQ(last.usage.completion_tokens, 0);
  ExpectAsAlone(mate);
  SequenceSpec again = Spec(12, 5);
  again.prompt = bad.prompt;
  ASSERT_TRUE(instance_->Submit({again}).ok());
  EXPECT_EQ(Sink(again).Finish().back().usage.cached_tokens, 0);
}

TEST_F(InstanceTest, AFailingWarmUpFailsTheStart) {
  auto model = std::make_unique<StubModel>(shape_);
  model->on_forward = [](const StepInput&) -> Status { throw std::bad_alloc(); };
  const auto instance = ThreadedInstance::Start(std::move(model), nullptr, &pool_, &clock_, &observer_, options_);
  EXPECT_EQ(instance.status().code(), StatusCode::kInternal);
}

// What seeds the step-time model must be whole steps: one layer's time would make prompts look nearly free.
TEST_F(InstanceTest, WarmUpTimesWholeStepsOnly) {
  std::vector<std::pair<int, int>> steps;  // rows, layers (0 = all)
  auto model = std::make_unique<StubModel>(shape_);
  model->on_forward = [&](const StepInput& input) {
    steps.emplace_back(input.num_rows(), input.num_layers);
    return OkStatus();
  };
  options_.max_step_tokens = 40;
  auto instance = ThreadedInstance::Start(std::move(model), nullptr, &pool_, &clock_, &observer_, options_);
  ASSERT_TRUE(instance.ok()) << instance.status();
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0].first, 40) << "the widest step takes its memory first";
  EXPECT_EQ(steps[1], std::make_pair(1, 0));
  EXPECT_GT(steps[2].first, 1) << "a timed chunk of a prompt";
  EXPECT_EQ(steps[2].second, 0);
  EXPECT_EQ(steps[3], std::make_pair(1, 0)) << "a timed decode";
}

TEST_F(InstanceTest, DestructionEndsWhatIsLeft) {
  options_.max_sequences = 1;
  Gate started;
  Start([&](int, const StepInput&) {
    started.Open();
    return OkStatus();
  });
  SequenceSpec endless = Spec(4, 60), queued = Spec(4, 5);
  ASSERT_TRUE(instance_->Submit({endless, queued}).ok());
  started.Wait();
  instance_.reset();
  for (const SequenceSpec& spec : {endless, queued}) {
    int ends = 0;
    for (const TokenEvent& event : Sink(spec).events()) ends += event.finished();
    EXPECT_EQ(ends, 1);
  }
}

TEST_F(InstanceTest, LivenessFollowsWork) {
  Gate started, go;
  Start([&](int step, const StepInput&) {
    if (step == 1) {
      started.Open();
      go.Wait();
    }
    return OkStatus();
  });
  clock_.Advance(std::chrono::hours(5));
  EXPECT_FALSE(instance_->HasWork());
  const SequenceSpec spec = Spec(4, 2);
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  started.Wait();
  EXPECT_TRUE(instance_->HasWork());
  EXPECT_EQ(instance_->last_progress(), clock_.Now()) << "the idle hours do not count as being stuck";
  const TimePoint before = clock_.Now();
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(instance_->last_progress(), before);
  go.Open();
  Sink(spec).Finish();
  while (instance_->HasWork()) std::this_thread::yield();
  EXPECT_EQ(instance_->last_progress(), clock_.Now());
}

TEST_F(InstanceTest, TwoInstancesShareAPoolByWholeSteps) {
  Start();
  CountingObserver other_observer;
  auto other =
      ThreadedInstance::Start(std::make_unique<StubModel>(shape_), nullptr, &pool_, &clock_, &other_observer, options_);
  ASSERT_TRUE(other.ok());
  std::vector<SequenceSpec> mine, theirs;
  for (int i = 0; i < 8; ++i) {
    mine.push_back(Spec(9, 9));
    theirs.push_back(Spec(9, 9));
    ASSERT_TRUE(instance_->Submit({mine.back()}).ok());
    ASSERT_TRUE((*other)->Submit({theirs.back()}).ok());
  }
  for (const SequenceSpec& spec : mine) ExpectAsAlone(spec);
  for (const SequenceSpec& spec : theirs) ExpectAsAlone(spec);
  const double sum = observer_.sums().steps.device_seconds + other_observer.sums().steps.device_seconds;
  EXPECT_NEAR(sum, pool_.TotalLeasedSeconds(), 1e-9);
}

}  // namespace
}  // namespace bitrate
