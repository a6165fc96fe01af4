#include "tests/integration/determinism/harness.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "engine/base/compute_pool.h"
#include "engine/runtime/decoder_step_model.h"
#include "engine/runtime/engine_core.h"

namespace bitrate::determinism {
namespace {

class AnswerSink final : public TokenSink {
 public:
  void OnEvent(TokenEvent event) override {
    if (event.token_id.has_value()) {
      answer.tokens.push_back(*event.token_id);
      answer.scores.push_back({*event.token_id, event.logprob, event.rank});
      for (const TokenLogprob& top : event.top_logprobs) answer.scores.push_back(top);
    }
    for (const TokenLogprob& score : event.prompt_logprobs) prompt.push_back(score);
    for (const auto& position : event.prompt_top) prompt.insert(prompt.end(), position.begin(), position.end());
    if (!event.finished()) return;
    answer.finish = event.finish;
    answer.scores.insert(answer.scores.end(), prompt.begin(), prompt.end());
    EXPECT_TRUE(event.status.ok()) << event.status;
  }
  Answer answer;
  std::vector<TokenLogprob> prompt;
};

class Counter final : public InstanceObserver {
 public:
  explicit Counter(RegimeStats* stats) : stats_(stats) {}
  void OnStep(const StepStats& step) override {
    ++stats_->steps;
    stats_->recomputed_tokens += step.recomputed_tokens;
  }
  void OnGauges(const InstanceGauges&) override {}
  void OnPreemption() override { ++stats_->preemptions; }
  void OnPromptTokens(int, int cached) override { stats_->cached_tokens += cached; }
  void OnSequenceFinished(const SequenceRecord&) override {}

 private:
  RegimeStats* const stats_;
};

InstanceOptions ToOptions(const DecoderModel& model, const Regime& regime) {
  const KvGeometry geometry = model.MakeKvGeometry();
  InstanceOptions options;
  options.max_sequences = regime.max_sequences;
  options.max_step_tokens = regime.max_step_tokens;
  options.kv_bytes = static_cast<uint64_t>(regime.num_contexts) *
                     static_cast<uint64_t>(BlocksFor(model.max_context(), geometry.block_tokens)) *
                     geometry.BlockBytes();
  return options;
}

}  // namespace

std::string Difference(const Answer& a, const Answer& b) {
  if (a.finish != b.finish) return "they end differently";
  for (size_t i = 0; i < std::max(a.tokens.size(), b.tokens.size()); ++i) {
    if (i >= a.tokens.size() || i >= b.tokens.size())
      return fmt::format("{} and {} tokens", a.tokens.size(), b.tokens.size());
    if (a.tokens[i] != b.tokens[i]) return fmt::format("token {} is {} and {}", i, a.tokens[i], b.tokens[i]);
  }
  if (a.scores.size() != b.scores.size()) return fmt::format("{} and {} scores", a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    const TokenLogprob &x = a.scores[i], &y = b.scores[i];
    if (x.token_id != y.token_id || x.rank != y.rank || std::memcmp(&x.logprob, &y.logprob, sizeof(float)) != 0) {
      return fmt::format("score {}: ({}, {:.9g}, {}) and ({}, {:.9g}, {})", i, x.token_id, x.logprob, x.rank,
                         y.token_id, y.logprob, y.rank);
    }
  }
  return "";
}

ModelPtr LoadModel(const Checkpoint& checkpoint, const Backend& backend, const std::string& precision,
                   int64_t max_context) {
  const bool int8_kv = precision.ends_with("_kv8");
  const auto parsed = Precision::Parse(precision.substr(0, precision.size() - (int8_kv ? 4 : 0)));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return nullptr;
  InlineParallel parallel;
  DecoderModel::LoadOptions options;
  options.precision = *parsed;
  options.max_context = max_context;
  if (int8_kv) options.kv_dtype = DType::kI8;
  auto model = DecoderModel::Load(checkpoint, backend, parallel, nullptr, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

std::vector<SequenceSpec> MakeRequests(const std::vector<int32_t>& text, int count, int max_prompt, int max_tokens,
                                       uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](size_t bound) { return static_cast<size_t>(random() % bound); };
  std::vector<SequenceSpec> requests;
  for (int i = 0; i < count; ++i) {
    SequenceSpec spec;
    spec.id = static_cast<uint64_t>(i) + 1;
    const size_t length = 1 + pick(static_cast<size_t>(max_prompt));
    const size_t shared = i % 2 == 0 ? length - length / 3 : 0;  // the beginning of the text, then something else
    spec.prompt.assign(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(shared));
    for (size_t at = pick(text.size()); spec.prompt.size() < length; ++at) {
      spec.prompt.push_back(text[at % text.size()]);
    }
    spec.sampling.temperature = i % 3 == 0 ? 0.0f : 0.8f;
    spec.sampling.top_p = i % 3 == 1 ? 0.9f : 1.0f;
    spec.sampling.repetition_penalty = i % 5 == 0 ? 1.1f : 1.0f;
    spec.sampling.seed = static_cast<uint64_t>(1000 + i);
    spec.stop.max_tokens = max_tokens;
    spec.stop.ignore_eos = true;
    spec.logprobs.output_top_n = i % 4 == 3 ? -1 : i % 4;
    spec.logprobs.prompt_top_n = i % 6 == 5 ? 1 : -1;
    spec.priority = static_cast<int>(pick(3));
    requests.push_back(std::move(spec));
  }
  return requests;
}

std::vector<int32_t> GreedyByRecomputation(const ModelPtr& model, const std::vector<int32_t>& prompt, int count) {
  const KvGeometry geometry = model->MakeKvGeometry();
  const auto longest = static_cast<int64_t>(prompt.size()) + count;
  StepWorkspace workspace = model->MakeWorkspace(longest);
  InlineParallel parallel;
  StepInput input;
  std::vector<int32_t> tokens = prompt;
  std::vector<float> logits(static_cast<size_t>(model->config().vocab_size));
  for (int i = 0; i < count; ++i) {
    const auto length = static_cast<int32_t>(tokens.size());
    input.max_blocks = static_cast<int>(BlocksFor(length, geometry.block_tokens));
    std::vector<std::byte> kv(geometry.BlockBytes() * static_cast<size_t>(input.max_blocks));
    input.token_ids = tokens;
    input.query_start = {0, length};
    input.lengths = {length};
    input.positions.resize(tokens.size());
    input.block_tables.resize(static_cast<size_t>(input.max_blocks));
    std::iota(input.positions.begin(), input.positions.end(), 0);
    std::iota(input.block_tables.begin(), input.block_tables.end(), 0);
    model->Forward(parallel, input, kv.data(), workspace);
    const int32_t last = length - 1;
    model->Logits(parallel, {&last, 1}, workspace, logits.data());
    tokens.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  return {tokens.begin() + static_cast<std::ptrdiff_t>(prompt.size()), tokens.end()};
}

std::vector<Answer> RunRequests(const ModelPtr& model, const std::vector<SequenceSpec>& requests, const Regime& regime,
                                RegimeStats* stats) {
  auto step_model = DecoderStepModel::Create(model, ToOptions(*model, regime));
  EXPECT_TRUE(step_model.ok()) << step_model.status();
  if (!step_model.ok()) return {};
  Counter counter(stats);
  SchedulerOptions options;
  options.max_sequences = regime.max_sequences;
  options.step_budget_seconds = regime.step_budget_seconds;
  options.max_step_tokens = regime.max_step_tokens;
  options.prefix_cache = regime.prefix_cache;
  EngineCore core(*std::move(step_model), nullptr, &counter, "determinism", options);
  ComputePool pool(ComputePool::Options{.num_threads = regime.num_workers, .pin_threads = false});
  const ComputePool::ClientId client = pool.Register("determinism");

  std::mt19937_64 random(regime.seed);
  std::vector<std::shared_ptr<AnswerSink>> sinks;
  TimePoint now{std::chrono::seconds(1)};
  size_t next = 0;
  while (next < requests.size() || core.HasWork()) {
    // Bursts and pauses; alone, one at a time.
    size_t arrivals = core.HasWork() ? 0 : 1;
    if (regime.seed != 0 && random() % 3 == 0) arrivals += random() % 6;
    for (; arrivals > 0 && next < requests.size(); --arrivals, ++next) {
      SequenceSpec spec = requests[next];
      sinks.push_back(std::make_shared<AnswerSink>());
      spec.sink = sinks.back();
      std::vector<SequenceSpec> request;
      request.push_back(std::move(spec));
      core.Add(std::move(request), now);
    }
    const bool planned = core.Plan(now);
    EXPECT_TRUE(planned) << "work, and an empty step";
    if (!planned) break;
    ComputePool::Lease lease = pool.Acquire(client);
    core.Execute(lease);
    const double device_seconds = lease.Finish();
    now += std::chrono::milliseconds(10);
    core.Commit(device_seconds / regime.num_workers, device_seconds, now);
    for (Delivery& delivery : core.TakeDeliveries()) delivery.sink->OnEvent(std::move(delivery.event));
  }
  EXPECT_EQ(core.CheckInvariants(), "");
  pool.Unregister(client);
  std::vector<Answer> answers;
  for (const auto& sink : sinks) answers.push_back(std::move(sink->answer));
  return answers;
}

}  // namespace bitrate::determinism
