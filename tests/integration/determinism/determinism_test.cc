// Promise 2: an answer is a function of (weights, variant, prompt, parameters, seed) only. Prompts run alone, then in
// random company: batches of up to 16, random arrivals, chunk budgets, a KV pool so small that sequences are preempted
// and recomputed, prefix cache on and off, one and two workers. Tokens and log-probabilities agree to the bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "engine/artifact/peft_adapter.h"
#include "engine/model/adapter.h"
#include "tests/integration/determinism/harness.h"

namespace bitrate::determinism {
namespace {

constexpr const char* kPrecisions[] = {"fp32", "bf16", "fp16", "int8", "int4"};
constexpr const char* kTinyPrecisions[] = {"fp32", "bf16", "fp16", "int8", "int4", "fp32_kv8", "int8_kv8", "int4_kv8"};

void ExpectSameAnswers(const ModelPtr& model, const std::vector<SequenceSpec>& requests,
                       const std::vector<Answer>& alone, const std::vector<Regime>& regimes, RegimeStats* totals) {
  for (const Regime& regime : regimes) {
    SCOPED_TRACE(regime.name);
    const std::vector<Answer> together = RunRequests(model, requests, regime, totals);
    ASSERT_EQ(together.size(), alone.size());
    for (size_t i = 0; i < alone.size(); ++i) {
      ASSERT_EQ(Difference(alone[i], together[i]), "") << "request " << i << " of " << alone.size();
    }
  }
}

Regime Alone(int num_workers) {
  Regime regime;
  regime.name = "alone";
  regime.max_sequences = 1;
  regime.max_step_tokens = 256;
  regime.num_contexts = 1;
  regime.prefix_cache = false;
  regime.num_workers = num_workers;
  regime.seed = 0;
  return regime;
}

std::unique_ptr<Backend> CpuBackend() {
  auto backend = MakeCpuBackend();
  EXPECT_TRUE(backend.ok()) << backend.status();
  return backend.ok() ? *std::move(backend) : nullptr;
}

class TinyModels : public testing::TestWithParam<std::tuple<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(All, TinyModels,
                         testing::Combine(testing::Values("llama_tied", "llama_attn_bias", "llama_llama3rope_sharded",
                                                          "llama_rope_linear", "llama_rope_yarn", "phi3_longrope"),
                                          testing::ValuesIn(kTinyPrecisions)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

TEST_P(TinyModels, CompanyChangesNothing) {
  const auto& [name, precision] = GetParam();
  const std::string path = std::string(BITRATE_GOLDEN_DIR) + "/arch/" + name + "/model";
  const auto checkpoint = Checkpoint::Open(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::unique_ptr<Backend> backend = CpuBackend();
  ASSERT_NE(backend, nullptr);
  const ModelPtr model = LoadModel(**checkpoint, *backend, precision, 96);
  ASSERT_NE(model, nullptr);
  std::vector<int32_t> text;
  for (int i = 0; i < 500; ++i) text.push_back(3 + (i * i * 7 + i * 13) % 500);
  const std::vector<SequenceSpec> requests = MakeRequests(text, 24, 48, 40, 7);
  RegimeStats alone_stats, stats;
  const std::vector<Answer> alone = RunRequests(model, requests, Alone(1), &alone_stats);
  ASSERT_EQ(alone_stats.preemptions + alone_stats.cached_tokens, 0);

  std::vector<Regime> regimes;
  for (const int budget : {5, 24, 128}) {
    for (const int contexts : {2, 16}) {
      for (const bool cache : {true, false}) {
        for (const int workers : {1, 2}) {
          Regime regime;
          regime.name = fmt::format("budget {} contexts {} cache {} workers {}", budget, contexts, cache, workers);
          regime.max_step_tokens = budget;
          regime.num_contexts = contexts;
          regime.prefix_cache = cache;
          regime.num_workers = workers;
          regime.seed = regimes.size() + 1;
          regimes.push_back(regime);
        }
      }
    }
  }
  // Chunks by measured time: as small as they get beside decodes, and as the clock has it.
  for (const double seconds : {1e-9, 2e-3}) {
    Regime regime;
    regime.name = fmt::format("step budget {} s", seconds);
    regime.max_step_tokens = 128;
    regime.step_budget_seconds = seconds;
    regime.seed = regimes.size() + 1;
    regimes.push_back(regime);
  }
  ExpectSameAnswers(model, requests, alone, regimes, &stats);
  EXPECT_GT(stats.preemptions, 50) << "the grid must reach preemption";
  EXPECT_GT(stats.cached_tokens, 500) << "the grid must reach the prefix cache";
  fmt::print("{} regimes, {} steps, {} preemptions, {} cached and {} recomputed tokens\n", regimes.size(), stats.steps,
             stats.preemptions, stats.cached_tokens, stats.recomputed_tokens);
}

class Adapters : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Adapters, testing::ValuesIn(kPrecisions),
                         [](const auto& info) { return std::string(info.param); });

// 24 requests over 4 adapters and none, half of them with the same beginning: company, chunks, preemption and the
// prefix cache (whose key has the adapter) change nothing.
TEST_P(Adapters, CompanyChangesNothing) {
  const std::string folder = BITRATE_GOLDEN_DIR "/lora/";
  const auto checkpoint = Checkpoint::Open(folder + "base_fp32");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::unique_ptr<Backend> backend = CpuBackend();
  ASSERT_NE(backend, nullptr);
  const ModelPtr model = LoadModel(**checkpoint, *backend, GetParam(), 96);
  ASSERT_NE(model, nullptr);
  std::vector<std::shared_ptr<const Adapter>> adapters = {nullptr};
  for (const char* name : {"fp32_all", "fp32_qv_alpha_pattern", "fp32_rslora", "fp32_lora_bias"}) {
    const auto source = ReadPeftAdapter(folder + name + "/adapter");
    ASSERT_TRUE(source.ok()) << source.status();
    const auto adapter = Adapter::Prepare(*source, model->config(), *backend);
    ASSERT_TRUE(adapter.ok()) << adapter.status();
    adapters.push_back(*adapter);
  }
  std::vector<int32_t> text;
  for (int i = 0; i < 500; ++i) text.push_back(3 + (i * i * 7 + i * 13) % 500);
  std::vector<SequenceSpec> requests = MakeRequests(text, 24, 48, 40, 7);
  for (size_t i = 0; i < requests.size(); ++i) requests[i].adapter = adapters[i * 3 % adapters.size()];
  RegimeStats stats;
  const std::vector<Answer> alone = RunRequests(model, requests, Alone(1), &stats);
  stats = {};
  std::vector<Regime> regimes;
  for (const int budget : {5, 128}) {
    for (const int contexts : {2, 16}) {
      Regime regime;
      regime.name = fmt::format("budget {} contexts {}", budget, contexts);
      regime.max_step_tokens = budget;
      regime.num_contexts = contexts;
      regime.num_workers = contexts == 2 ? 1 : 2;
      regime.seed = regimes.size() + 1;
      regimes.push_back(regime);
    }
  }
  ExpectSameAnswers(model, requests, alone, regimes, &stats);
  EXPECT_GT(stats.preemptions, 0) << "the grid must reach preemption";
  EXPECT_GT(stats.cached_tokens, 0) << "the grid must reach the prefix cache";
  // The same prompts without adapters have other answers: none was skipped.
  for (SequenceSpec& request : requests) request.adapter = nullptr;
  const std::vector<Answer> base = RunRequests(model, requests, Alone(1), &stats);
  for (size_t i = 0; i < base.size(); ++i) {
    EXPECT_EQ(Difference(alone[i], base[i]) == "", i * 3 % adapters.size() == 0) << "request " << i;
  }
}

// phi3 longrope: from one token over the original context (16) on a sequence has other rotary factors at all its
// positions, so none of its KV from before may be used. What that must give is known without any cache.
TEST(LongRope, CrossingTheOriginalContextGivesWhatRecomputationGives) {
  const auto checkpoint = Checkpoint::Open(std::string(BITRATE_GOLDEN_DIR) + "/arch/phi3_longrope/model");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::unique_ptr<Backend> backend = CpuBackend();
  ASSERT_NE(backend, nullptr);
  std::vector<int32_t> text;
  for (int i = 0; i < 200; ++i) text.push_back(3 + (i * i * 7 + i * 13) % 500);
  std::vector<SequenceSpec> requests = MakeRequests(text, 24, 20, 24, 3);
  for (SequenceSpec& spec : requests) spec.sampling = {.temperature = 0};
  for (const char* precision : {"fp32", "int8", "int4_kv8"}) {
    SCOPED_TRACE(precision);
    const ModelPtr model = LoadModel(**checkpoint, *backend, precision, 64);
    ASSERT_NE(model, nullptr);
    ASSERT_EQ(model->rope_switch(), 16);
    std::vector<std::vector<int32_t>> wanted;
    for (const SequenceSpec& spec : requests) wanted.push_back(GreedyByRecomputation(model, spec.prompt, 24));
    for (const bool cache : {false, true}) {
      for (const int batch : {1, 16}) {
        Regime regime = Alone(2);
        regime.name = fmt::format("{} at once, cache {}", batch, cache);
        regime.max_sequences = batch;
        regime.max_step_tokens = 24;
        regime.num_contexts = 4;
        regime.prefix_cache = cache;
        regime.seed = batch == 1 ? 0 : 5;
        SCOPED_TRACE(regime.name);
        RegimeStats stats;
        const std::vector<Answer> answers = RunRequests(model, requests, regime, &stats);
        ASSERT_EQ(answers.size(), wanted.size());
        for (size_t i = 0; i < answers.size(); ++i) {
          ASSERT_EQ(answers[i].tokens, wanted[i]) << "prompt of " << requests[i].prompt.size();
        }
        EXPECT_GT(stats.recomputed_tokens, 100);
      }
    }
  }
}

class RealModel : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, RealModel, testing::ValuesIn(kPrecisions),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RealModel, CompanyChangesNothing) {
  const auto checkpoint = Checkpoint::Open(std::string(BITRATE_MODEL_DIR) + "/SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status() << "\nThis test needs the real model; ./test.sh fetches it.";
  const std::unique_ptr<Backend> backend = CpuBackend();
  ASSERT_NE(backend, nullptr);
  const ModelPtr model = LoadModel(**checkpoint, *backend, GetParam(), 192);
  ASSERT_NE(model, nullptr);
  std::ifstream in(std::string(BITRATE_GOLDEN_DIR) + "/smollm2/ppl.json");
  const auto text = nlohmann::json::parse(in)["ids"].get<std::vector<int32_t>>();
  const std::vector<SequenceSpec> requests = MakeRequests(text, DETERMINISM_PROMPTS, 96, 32, 11);
  RegimeStats stats;
  const std::vector<Answer> alone = RunRequests(model, requests, Alone(2), &stats);
  stats = {};
  Regime crowded, roomy;
  crowded.name = "chunks of 48, 3 contexts, cache, 2 workers";
  crowded.max_step_tokens = 48;
  crowded.num_contexts = 3;
  roomy.name = "chunks of 200, no cache, 1 worker";
  roomy.max_step_tokens = 200;
  roomy.prefix_cache = false;
  roomy.num_workers = 1;
  roomy.seed = 5;
  ExpectSameAnswers(model, requests, alone, {crowded, roomy}, &stats);
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_GT(stats.cached_tokens, 0);
  fmt::print("{} prompts, {} steps, {} preemptions, {} cached and {} recomputed tokens\n", requests.size(), stats.steps,
             stats.preemptions, stats.cached_tokens, stats.recomputed_tokens);
}

}  // namespace
}  // namespace bitrate::determinism
