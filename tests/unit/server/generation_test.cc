#include "server/generation.h"

#include <gtest/gtest.h>

#include "server/api_error.h"
#include "server/comparison.h"
#include "server/request_log.h"
#include "server/routing_store.h"
#include "server/scoring.h"
#include "server/variant_registry.h"
#include "tests/unit/server/fake_engine.h"

namespace bitrate {
namespace {

// What a request gave, in the order it came.
class Recorder final : public GenerationListener {
 public:
  void OnStarted(const GenerationStarted& got) override {
    MutexLock lock(&mutex_);
    events.push_back("started");
    started = got;
  }
  void OnDelta(GenerationDelta delta) override {
    MutexLock lock(&mutex_);
    events.push_back("delta");
    for (const int32_t id : delta.token_ids) tokens[delta.index].push_back(id);
    logprobs += delta.logprobs.size();
    prompt_logprobs += delta.prompt_logprobs.size();
  }
  void OnFinished(const ChoiceFinished&) override {
    MutexLock lock(&mutex_);
    events.push_back("finished");
  }
  void OnEnd(const Status& got, const RequestTotals& got_totals) override {
    MutexLock lock(&mutex_);
    EXPECT_FALSE(ended) << "a request ends once";
    ended = true;
    status = got;
    totals = got_totals;
    done_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (!ended) done_.Wait(&mutex_);
  }

  std::vector<std::string> events;
  std::map<int, std::vector<int32_t>> tokens;
  GenerationStarted started;
  size_t logprobs = 0, prompt_logprobs = 0;
  bool ended = false;
  Status status;
  RequestTotals totals;

 private:
  Mutex mutex_;
  CondVar done_;
};

class GenerationTest : public testing::Test {
 protected:
  void SetUp() override { Make({}); }
  void Make(RoutingPolicy policy, int max_in_flight = 100) {
    TearDown();
    registry_ = std::make_unique<VariantRegistry>(std::vector<ModelSettings>{FakeModel("m", {"int8", "int4"})}, "m",
                                                  &loader_, telemetry_.get(), Clock::System(), nullptr);
    std::string summary;
    ASSERT_TRUE(registry_->OpenModels(0, &summary).ok());
    registry_->LoadConfigured();
    routing_ = std::make_unique<RoutingStore>(std::move(policy), "", [this] { return registry_->RoutableModels(); });
    Prices prices;
    prices.currency = "USD";
    prices.core_hour = 36;  // 0.01 a device-second
    service_ = std::make_unique<GenerationService>(
        ServingContext{registry_.get(), routing_.get(), Clock::System(), telemetry_.get(), log_.get(), prices}, 2,
        max_in_flight);
  }
  void TearDown() override {
    service_.reset();
    if (registry_ != nullptr) {
      for (const VariantSnapshot& variant : registry_->Snapshots()) EXPECT_EQ(variant.counts.in_flight(), 0);
      registry_->Shutdown();
    }
    registry_.reset();
  }
  static GenerationRequest Request(std::vector<int32_t> prompt = {1, 2, 3}) {
    GenerationRequest request;
    request.context.api = "test";
    request.context.method = "Generate";
    request.context.request_id = "r1";
    request.context.arrival = Clock::System()->Now();
    request.prompt = std::move(prompt);
    return request;
  }
  std::shared_ptr<Recorder> Run(GenerationRequest request) {
    auto recorder = std::make_shared<Recorder>();
    service_->Generate(std::move(request), recorder);
    recorder->Wait();
    return recorder;
  }

  FakeControl control_;
  FakeLoader loader_{&control_};
  std::unique_ptr<Telemetry> telemetry_ = MakeNullTelemetry();
  std::unique_ptr<RequestLog> log_ = MakeNullLog();
  std::unique_ptr<VariantRegistry> registry_;
  std::unique_ptr<RoutingStore> routing_;
  std::unique_ptr<GenerationService> service_;
};

TEST_F(GenerationTest, EventsInOrderTokensAndCost) {
  const auto got = Run(Request());
  ASSERT_TRUE(got->status.ok()) << got->status;
  EXPECT_EQ(got->events, (std::vector<std::string>{"started", "delta", "delta", "delta", "delta", "finished"}));
  EXPECT_EQ(got->tokens[0], (std::vector<int32_t>{4, 5, 6, 7}));
  EXPECT_EQ(got->started.route.variant, "int8");
  EXPECT_EQ(got->started.route.decision.reason, RouteReason::kDefault);
  EXPECT_EQ(got->totals.prompt_tokens, 3);
  EXPECT_EQ(got->totals.completion_tokens, 4);
  EXPECT_EQ(got->totals.device_seconds, 0.25);
  EXPECT_EQ(got->totals.marginal, (MoneyAmount{0, 2'500'000}));  // 0.25 s at 0.01
  EXPECT_GE(got->totals.ttft_seconds, 0);
}

TEST_F(GenerationTest, ChoicesShareOnePromptAndAddUp) {
  GenerationRequest request = Request();
  request.n = 3;
  request.logprobs.output_top_n = 2;
  request.logprobs.prompt_top_n = 0;
  const auto got = Run(std::move(request));
  ASSERT_TRUE(got->status.ok());
  EXPECT_EQ(got->tokens.size(), 3u);
  EXPECT_EQ(got->totals.prompt_tokens, 3);
  EXPECT_EQ(got->totals.completion_tokens, 12);
  EXPECT_EQ(got->totals.device_seconds, 0.75);
  EXPECT_EQ(got->logprobs, 12u);
  EXPECT_EQ(got->prompt_logprobs, 3u);  // once, not per choice
  const auto specs = control_.specs();
  ASSERT_EQ(specs.size(), 3u);
  EXPECT_EQ(specs[0].sampling.seed, specs[2].sampling.seed);
  EXPECT_NE(specs[0].id, specs[1].id);
}

TEST_F(GenerationTest, ScoringThePromptGeneratesNothing) {
  GenerationRequest request = Request();
  request.stop.max_tokens = 0;
  request.logprobs.prompt_top_n = 0;
  const auto got = Run(std::move(request));
  ASSERT_TRUE(got->status.ok()) << got->status;
  EXPECT_EQ(got->prompt_logprobs, 3u);
  EXPECT_EQ(got->totals.completion_tokens, 0);
  EXPECT_LT(got->totals.ttft_seconds, 0);
}

TEST_F(GenerationTest, SeedIsDrawnOnceAndReturned) {
  GenerationRequest request = Request();
  request.has_seed = true;
  request.sampling.seed = 42;
  EXPECT_EQ(Run(std::move(request))->started.seed, 42u);
  EXPECT_NE(Run(Request())->started.seed, Run(Request())->started.seed);
}

TEST_F(GenerationTest, SelectorsPinAndRoute) {
  GenerationRequest request = Request();
  request.target.model = "m:int4";
  EXPECT_EQ(Run(std::move(request))->started.route.variant, "int4");
  request = Request();
  request.target.variant = "int4";
  const auto pinned = Run(std::move(request));
  EXPECT_EQ(pinned->started.route.decision.reason, RouteReason::kPin);
  request = Request();
  request.target.model = "m:int4";
  request.target.variant = "int8";
  EXPECT_EQ(Run(std::move(request))->status.code(), StatusCode::kInvalidArgument);
  request = Request();
  request.target.model = "x";
  EXPECT_EQ(Run(std::move(request))->status.code(), StatusCode::kNotFound);
}

TEST_F(GenerationTest, CancelEndsARunningRequest) {
  control_.Hold();
  auto recorder = std::make_shared<Recorder>();
  const auto handle = service_->Generate(Request(), recorder);
  handle->Cancel(Cancelled("the client went away"));
  handle->Cancel(Internal("later reasons do not count"));
  recorder->Wait();
  EXPECT_EQ(recorder->status.code(), StatusCode::kCancelled);
  control_.Release();
  EXPECT_TRUE(Run(Request())->status.ok());
}

TEST_F(GenerationTest, CancelAfterTheEndIsNothing) {
  auto recorder = std::make_shared<Recorder>();
  const auto handle = service_->Generate(Request(), recorder);
  recorder->Wait();
  handle->Cancel(Cancelled("late"));
  EXPECT_TRUE(recorder->status.ok());
}

TEST_F(GenerationTest, DeadlineInTheQueue) {
  control_.Hold();
  GenerationRequest request = Request();
  request.context.deadline = Clock::System()->Now() + std::chrono::milliseconds(20);
  EXPECT_EQ(Run(std::move(request))->status.code(), StatusCode::kDeadlineExceeded);
  request = Request();
  request.max_queue_time = std::chrono::milliseconds(20);
  EXPECT_EQ(Run(std::move(request))->status.code(), StatusCode::kDeadlineExceeded);
}

TEST_F(GenerationTest, FullQueueIsBusyAndRetryable) {
  control_.FailSubmit(ResourceExhausted("256 sequences wait, which is the limit"));
  const auto got = Run(Request());
  EXPECT_EQ(got->status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(GetDetail(got->status).retry_delay_ms);
  EXPECT_EQ(registry_->Snapshot("m", "int8")->counts.rejected, 1);
}

TEST_F(GenerationTest, TooManyAtOnceIsBusy) {
  Make({}, /*max_in_flight=*/1);
  control_.Hold();
  auto first = std::make_shared<Recorder>();
  const auto handle = service_->Generate(Request(), first);
  EXPECT_EQ(Run(Request())->status.code(), StatusCode::kResourceExhausted);
  control_.Release();
  first->Wait();
  EXPECT_TRUE(first->status.ok());
}

TEST_F(GenerationTest, AVariantThatStoppedIsRoutedAroundOnce) {
  Make({{{"m", "exp", "exp", {{"a", "int8", 10000}}, {"int4"}}}});
  registry_->Acquire("m", "int8")->instance->Drain(kNoDeadline);  // the registry does not know yet
  const auto got = Run(Request());
  ASSERT_TRUE(got->status.ok()) << got->status;
  EXPECT_EQ(got->started.route.variant, "int4");
  EXPECT_EQ(got->started.route.decision.reason, RouteReason::kFallback);
}

TEST_F(GenerationTest, EngineFaultIsInternalAndTheNextRequestRuns) {
  control_.FailSequences(Internal("NaN logits after: my secret"));
  const auto got = Run(Request());
  EXPECT_EQ(got->status.code(), StatusCode::kInternal);
  EXPECT_EQ(got->status.message().find("secret"), absl::string_view::npos);
  control_.FailSequences(OkStatus());
  EXPECT_TRUE(Run(Request())->status.ok());
}

TEST_F(GenerationTest, DrainingRefusesNewAndFinishesOld) {
  control_.Hold();
  auto first = std::make_shared<Recorder>();
  const auto handle = service_->Generate(Request(), first);
  service_->StopAdmission();
  const auto refused = Run(Request());
  EXPECT_EQ(refused->status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(GetDetail(refused->status).retry_delay_ms);
  control_.Release();
  first->Wait();
  EXPECT_TRUE(first->status.ok());
}

TEST_F(GenerationTest, ScoreGivesEachItemItsTokens) {
  ScoreCallRequest request;
  request.context = Request().context;
  for (int i = 0; i < 100; ++i) {  // more than are in the engine at once
    ScoreItemRequest item;
    item.context = std::vector<int32_t>{1, 2};
    item.continuation = std::vector<int32_t>{i, 4, 5};
    request.items.push_back(item);
  }
  request.items.push_back({std::monostate(), std::vector<int32_t>{9}});
  Mutex mutex;
  CondVar changed;
  std::optional<Status> status;
  ScoreOutcome outcome;
  const auto handle = StartScore(service_.get(), request, [&](const Status& got, const ScoreOutcome& result) {
    MutexLock lock(&mutex);
    outcome = result;
    status = got;
    changed.SignalAll();
  });
  MutexLock lock(&mutex);
  while (!status) changed.Wait(&mutex);
  ASSERT_TRUE(status->ok()) << *status;
  ASSERT_EQ(outcome.items.size(), 101u);
  EXPECT_EQ(outcome.items[42].tokens[0].token_id, 42);
  EXPECT_EQ(outcome.items[42].tokens.size(), 3u);
  EXPECT_EQ(outcome.items[42].sum_logprob, -2 - 3 - 4);  // position t scores -t
  EXPECT_TRUE(outcome.items[42].is_greedy);
  EXPECT_EQ(outcome.items[100].context_tokens, 1);  // the end-of-sequence token stands in
  EXPECT_EQ(outcome.totals.prompt_tokens, 100 * 5 + 2);
}

TEST_F(GenerationTest, ScoreRefusesWhatDoesNotFit) {
  const auto& model = *registry_->Resources("m");
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(GetDetail(SplitScoreItem(model, {Ids{1}, std::monostate()}, 3).status()).fields.at(0).field,
            "items[3].continuation");
  EXPECT_FALSE(SplitScoreItem(model, {Ids{1}, Ids{}}, 0).ok());
  EXPECT_FALSE(SplitScoreItem(model, {std::string("a"), Ids{1}}, 0).ok());
  EXPECT_FALSE(SplitScoreItem(model, {Ids{1}, std::string("a")}, 0).ok());
  EXPECT_EQ(GetDetail(SplitScoreItem(model, {Ids{1}, Ids{2, 1000}}, 0).status()).fields.at(0).field,
            "items[0].continuation_ids.ids[1]");
  EXPECT_EQ(SplitScoreItem(model, {std::string("a"), std::string("b")}, 0).status().code(),
            StatusCode::kFailedPrecondition);  // no tokenizer
}

class CompareRecorder final : public CompareListener {
 public:
  void OnStart(const CompareStart& got) override { start = got; }
  void OnResult(const CompareVariantResult& result) override { results.push_back(result); }
  void OnEnd(const Status& got, int failed, const RequestTotals&) override {
    MutexLock lock(&mutex);
    status = got;
    num_failed = failed;
    done.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mutex);
    while (!status) done.Wait(&mutex);
  }
  CompareStart start;
  std::vector<CompareVariantResult> results;
  int num_failed = 0;
  Mutex mutex;
  CondVar done;
  std::optional<Status> status;
};

TEST_F(GenerationTest, CompareTakesTheMostPreciseAsReference) {
  CompareCallRequest request;
  request.context = Request().context;
  request.prompt = std::vector<int32_t>{1, 2, 3};
  request.max_tokens = 5;
  auto recorder = std::make_shared<CompareRecorder>();
  StartCompare(service_.get(), request, recorder);
  recorder->Wait();
  ASSERT_TRUE(recorder->status->ok()) << *recorder->status;
  EXPECT_EQ(recorder->start.reference, "int8");
  ASSERT_EQ(recorder->results.size(), 2u);
  EXPECT_TRUE(recorder->results[0].is_reference);
  const CompareVariantResult& other = recorder->results[1];
  EXPECT_EQ(other.token_ids, (std::vector<int32_t>{4, 5, 6, 7, 8}));
  EXPECT_FALSE(other.first_divergence.has_value());
  EXPECT_EQ(other.top1_agreement, 1);
  // Reference token i has logprob -(i+1), the forced one -(3+i): the gap is 2 everywhere.
  EXPECT_DOUBLE_EQ(other.mean_logprob_gap, 2);
  EXPECT_DOUBLE_EQ(other.max_abs_logprob_gap, 2);
}

TEST_F(GenerationTest, CompareGoesOnWithoutAFailedVariant) {
  Mutex mutex;
  CondVar done;
  bool unloaded = false;
  registry_->Unload("m", "int4", false, {}, [&](const auto&) {
    MutexLock lock(&mutex);
    unloaded = true;
    done.SignalAll();
  });
  {
    MutexLock lock(&mutex);
    while (!unloaded) done.Wait(&mutex);
  }
  CompareCallRequest request;
  request.context = Request().context;
  request.prompt = std::vector<int32_t>{1};
  request.variants = {"int8", "int4"};
  request.max_tokens = 4;
  auto recorder = std::make_shared<CompareRecorder>();
  StartCompare(service_.get(), request, recorder);
  recorder->Wait();
  ASSERT_TRUE(recorder->status->ok()) << *recorder->status;
  EXPECT_EQ(recorder->num_failed, 1);
  EXPECT_EQ(recorder->results[1].error.code(), StatusCode::kUnavailable);
}

TEST(Compare, FirstDivergence) {
  EXPECT_EQ(FirstDivergence({1, 2, 3}, {1, 2, 3}), std::nullopt);
  EXPECT_EQ(FirstDivergence({1, 2, 3}, {1, 9, 3}), 1);
  EXPECT_EQ(FirstDivergence({1, 2, 3}, {1, 2}), 2);
  EXPECT_EQ(FirstDivergence({1}, {1, 2}), 1);
  EXPECT_EQ(FirstDivergence({}, {}), std::nullopt);
}

}  // namespace
}  // namespace bitrate
