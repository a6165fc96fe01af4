// The threaded instance: what a request yields, in which order, what it is charged, and the queue's limits.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/runtime/instance_fixture.h"

namespace bitrate {
namespace {

TEST_F(InstanceTest, GeneratesWhatThePromptYieldsAlone) {
  Start();
  std::vector<SequenceSpec> specs;
  for (int i = 0; i < 10; ++i) {
    specs.push_back(Spec(1 + i * 3, 1 + i));
    ASSERT_TRUE(instance_->Submit({specs.back()}).ok());
  }
  for (const SequenceSpec& spec : specs) ExpectAsAlone(spec);
}

// Its KV is of no use beyond the switch: the seven tokens known by then are computed again, which is nobody's bill.
TEST_F(InstanceTest, ASequenceThatOutgrowsItsRotaryFactorsIsComputedAnew) {
  shape_.rope_switch = 7;
  Start();
  const SequenceSpec inside = Spec(3, 4), crossing = Spec(6, 6), outside = Spec(8, 6);
  for (const SequenceSpec& spec : {inside, crossing, outside}) {
    ASSERT_TRUE(instance_->Submit({spec}).ok());
    ExpectAsAlone(spec);
    const SequenceUsage usage = Sink(spec).events().back().usage;
    EXPECT_EQ(usage.wasted_device_seconds > 0, spec.id == crossing.id) << spec.prompt.size();
    EXPECT_EQ(usage.num_preemptions, 0);
  }
  EXPECT_EQ(observer_.sums().preemptions, 0);
}

TEST_F(InstanceTest, EventsComeInOrderAndTheLastOneOnce) {
  Start();
  const SequenceSpec spec = Spec(20, 5);
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  const std::vector<TokenEvent> events = Sink(spec).Finish();
  instance_.reset();  // everything that will ever be sent has been sent
  ASSERT_EQ(Sink(spec).events().size(), events.size());
  // 20 prompt tokens take three steps of 8: the first announces, the third carries the first token.
  ASSERT_EQ(events.size(), 6u);
  EXPECT_TRUE(events[0].first_scheduled);
  EXPECT_FALSE(events[0].token_id.has_value());
  for (size_t i = 1; i < events.size(); ++i) {
    EXPECT_FALSE(events[i].first_scheduled);
    EXPECT_TRUE(events[i].token_id.has_value());
    EXPECT_EQ(events[i].usage.completion_tokens, static_cast<int>(i));
    EXPECT_EQ(events[i].finished(), i + 1 == events.size());
  }
  EXPECT_EQ(events.back().finish, FinishReason::kLength);
  EXPECT_EQ(events.back().usage.prompt_tokens, 20);
}

TEST_F(InstanceTest, StopsAtEosAndStopIdsButNotBeforeMinTokens) {
  Start();
  int by_eos = 0, by_id = 0;
  for (int i = 0; i < 30; ++i) {
    SequenceSpec spec = Spec(3, 40);
    spec.stop.ignore_eos = i % 2 == 0;
    if (i % 3 == 0) spec.stop.stop_token_ids = {5, 9};
    spec.stop.min_tokens = i % 5;
    ASSERT_TRUE(instance_->Submit({spec}).ok());
    ExpectAsAlone(spec);
    const TokenEvent last = Sink(spec).events().back();
    by_eos += last.finish == FinishReason::kEos;
    by_id += last.finish == FinishReason::kStopToken;
    EXPECT_GE(last.usage.completion_tokens, spec.stop.min_tokens);
  }
  EXPECT_GT(by_eos, 0);
  EXPECT_GT(by_id, 0);
}

TEST_F(InstanceTest, TheContextEndsASequenceWithoutMaxTokens) {
  Start();
  SequenceSpec spec = Spec(10, 0);
  spec.stop.max_tokens.reset();
  SequenceSpec full = Spec(64, 0);
  full.stop.max_tokens.reset();
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  ASSERT_TRUE(instance_->Submit({full}).ok());
  ExpectAsAlone(spec);
  EXPECT_EQ(Sink(spec).events().back().usage.completion_tokens, 54);
  ExpectAsAlone(full);
  EXPECT_EQ(Sink(full).events().back().usage.completion_tokens, 0);
}

TEST_F(InstanceTest, MaxTokensZeroScoresThePrompt) {
  Start();
  SequenceSpec spec = Spec(20, 0);
  spec.logprobs.prompt_top_n = 2;
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  const TokenEvent last = Sink(spec).Finish().back();
  EXPECT_EQ(last.finish, FinishReason::kLength);
  EXPECT_EQ(last.usage.completion_tokens, 0);
  ASSERT_EQ(last.prompt_logprobs.size(), 20u);
  ASSERT_EQ(last.prompt_top.size(), 20u);
  EXPECT_EQ(last.prompt_logprobs[0].token_id, spec.prompt[0]);
  EXPECT_TRUE(last.prompt_top[0].empty());
  uint64_t hash = StubModel::kStart;
  std::vector<float> logits(shape_.vocab_size);
  for (size_t t = 1; t < 20; ++t) {
    hash = StubModel::Extend(hash, spec.prompt[t - 1], static_cast<int64_t>(t) - 1);
    StubModel::FillLogits(hash, logits);
    double sum = 0;
    for (const float v : logits) sum += std::exp(static_cast<double>(v));
    EXPECT_EQ(last.prompt_logprobs[t].token_id, spec.prompt[t]);
    EXPECT_NEAR(last.prompt_logprobs[t].logprob, logits[spec.prompt[t]] - std::log(sum), 1e-5);
    EXPECT_EQ(last.prompt_top[t].size(), 2u);
  }
}

TEST_F(InstanceTest, PromptLogprobsDoNotReadTheCache) {
  Start();
  SequenceSpec first = Spec(20, 1);
  ASSERT_TRUE(instance_->Submit({first}).ok());
  Sink(first).Finish();
  SequenceSpec again = Spec(20, 1);
  again.prompt = first.prompt;
  SequenceSpec scored = again;
  scored.id = next_id_++;
  scored.sink = std::make_shared<CollectingSink>();
  scored.logprobs.prompt_top_n = 0;
  ASSERT_TRUE(instance_->Submit({again}).ok());
  ASSERT_TRUE(instance_->Submit({scored}).ok());
  EXPECT_EQ(Sink(again).Finish().back().usage.cached_tokens, 16);
  EXPECT_EQ(Sink(scored).Finish().back().usage.cached_tokens, 0);
  EXPECT_EQ(observer_.sums().cached, 16);
}

TEST_F(InstanceTest, TenantsDoNotShareTheCache) {
  Start();
  SequenceSpec a = Spec(20, 1);
  a.cache_salt = "a";
  ASSERT_TRUE(instance_->Submit({a}).ok());
  Sink(a).Finish();
  SequenceSpec b = Spec(20, 1);
  b.prompt = a.prompt;
  b.cache_salt = "b";
  ASSERT_TRUE(instance_->Submit({b}).ok());
  EXPECT_EQ(Sink(b).Finish().back().usage.cached_tokens, 0);
}

TEST_F(InstanceTest, ChoicesDifferAndShareTheirPrompt) {
  Start();
  std::vector<SequenceSpec> request;
  SequenceSpec spec = Spec(20, 12);
  spec.sampling.temperature = 1;
  spec.sampling.seed = 11;
  for (int c = 0; c < 4; ++c) {
    SequenceSpec choice = spec;
    choice.id = next_id_++;
    choice.choice_index = c;
    choice.sink = std::make_shared<CollectingSink>();
    request.push_back(choice);
  }
  ASSERT_TRUE(instance_->Submit(request).ok());
  std::vector<std::vector<int32_t>> outputs;
  for (const SequenceSpec& choice : request) {
    ExpectAsAlone(choice);
    EXPECT_EQ(Sink(choice).events().back().index, choice.choice_index);
    outputs.push_back(TokensOf(Sink(choice).events()));
    EXPECT_EQ(Sink(choice).events().back().usage.cached_tokens, choice.choice_index == 0 ? 0 : 16);
  }
  EXPECT_NE(outputs[0], outputs[1]);
}

TEST_F(InstanceTest, CostsAddUpToWhatThePoolClocked) {
  options_.max_sequences = 3;
  Start();
  std::vector<SequenceSpec> specs;
  for (int i = 0; i < 12; ++i) {
    specs.push_back(Spec(5 + i, 6));
    if (i == 5) Cancel(specs.back());
    ASSERT_TRUE(instance_->Submit({specs.back()}).ok());
  }
  for (const SequenceSpec& spec : specs) Sink(spec).Finish();
  // Finished events are sent after their step is booked, so the sums are complete.
  const CountingObserver::Sums sums = observer_.sums();
  const double leased = instance_->LeasedSeconds();
  EXPECT_GT(leased, 0);
  EXPECT_NEAR(sums.steps.device_seconds, leased, 1e-9);
  EXPECT_NEAR(sums.steps.charged_prefill + sums.steps.charged_decode + sums.steps.wasted, leased, 1e-9);
  double used = 0;
  for (const SequenceRecord& record : sums.finished) used += record.usage.device_seconds;
  EXPECT_NEAR(used, sums.steps.charged_prefill + sums.steps.charged_decode, 1e-9);
  EXPECT_EQ(sums.finished.size(), 12u);
  EXPECT_GT(sums.steps.wasted, 0) << "the warm-up";
}

TEST_F(InstanceTest, TheQueueIsBoundedInSequencesAndTokens) {
  options_.max_sequences = 1;
  options_.max_queue = 3;
  options_.max_queue_tokens = 50;
  Gate started, go;
  Start([&](int step, const StepInput&) {
    if (step == 1) {
      started.Open();
      go.Wait();
    }
    return OkStatus();
  });
  const SequenceSpec running = Spec(1, 3);
  ASSERT_TRUE(instance_->Submit({running}).ok());
  started.Wait();
  // The running one holds its place until the step is over.
  const SequenceSpec waiting = Spec(10, 1);
  ASSERT_TRUE(instance_->Submit({waiting}).ok());
  const SequenceSpec wide = Spec(40, 1);
  EXPECT_EQ(instance_->Submit({wide}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(instance_->Submit({Spec(1, 1), Spec(1, 1)}).code(), StatusCode::kResourceExhausted);
  const SequenceSpec last = Spec(1, 1);
  EXPECT_TRUE(instance_->Submit({last}).ok());
  EXPECT_EQ(instance_->Submit({Spec(1, 1)}).code(), StatusCode::kResourceExhausted);
  EXPECT_GE(instance_->gauges().waiting, 2);
  EXPECT_TRUE(instance_->HasWork());
  go.Open();
  ExpectAsAlone(running);
  ExpectAsAlone(waiting);
  ExpectAsAlone(last);
  EXPECT_TRUE(Sink(wide).events().empty()) << "a refused sequence gets no event";
  const SequenceSpec after = Spec(40, 1);
  EXPECT_TRUE(instance_->Submit({after}).ok()) << "the places are free again";
  ExpectAsAlone(after);
}

TEST_F(InstanceTest, RefusesWhatCanNeverRun) {
  Start();
  const auto code = [&](const SequenceSpec& spec) { return instance_->Submit({spec}).code(); };
  EXPECT_EQ(code(Spec(0, 1)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Spec(65, 0)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Spec(60, 5)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Spec(60, 4)), StatusCode::kOk);
  EXPECT_EQ(code(Spec(4, -1)), StatusCode::kInvalidArgument);
  SequenceSpec spec = Spec(4, 1);
  spec.prompt[2] = 24;
  EXPECT_EQ(code(spec), StatusCode::kInvalidArgument);
  spec.prompt[2] = -1;
  EXPECT_EQ(code(spec), StatusCode::kInvalidArgument);
  spec = Spec(4, 1);
  spec.stop.stop = {"x"};
  EXPECT_EQ(code(spec), StatusCode::kInvalidArgument) << "no tokenizer";
  spec = Spec(4, 1);
  spec.priority = 4;
  EXPECT_EQ(code(spec), StatusCode::kInvalidArgument);
  EXPECT_EQ(instance_->Submit({}).code(), StatusCode::kInvalidArgument);
  // All or none: the good one of a bad request is not run.
  SequenceSpec good = Spec(4, 1), bad = Spec(0, 1);
  EXPECT_EQ(instance_->Submit({good, bad}).code(), StatusCode::kInvalidArgument);
  instance_.reset();
  EXPECT_TRUE(Sink(good).events().empty());
}

TEST_F(InstanceTest, TimesAreMeasuredOnTheClock) {
  options_.max_sequences = 1;
  Start([&](int, const StepInput&) {
    clock_.Advance(std::chrono::seconds(1));
    return OkStatus();
  });
  SequenceSpec spec = Spec(12, 3);
  spec.arrival = clock_.Now() - std::chrono::seconds(5);
  ASSERT_TRUE(instance_->Submit({spec}).ok());
  const SequenceUsage usage = Sink(spec).Finish().back().usage;
  EXPECT_DOUBLE_EQ(usage.queue_seconds, 5);
  EXPECT_DOUBLE_EQ(usage.prefill_seconds, 2);  // 12 tokens, 8 a step
  EXPECT_DOUBLE_EQ(usage.decode_seconds, 2);
}

}  // namespace
}  // namespace bitrate
