// The real model in float32 against transformers: greedy text, log-probabilities, top 5, perplexity and the requests of
// lm-eval. Real-text margins are small, so greedy ids are compared up to the first step whose margin is below 0.02.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "engine/sampling/sampler.h"
#include "tests/golden/model/harness.h"
#include "tests/golden/model/smollm2_data.h"

namespace bitrate::golden {
namespace {

using nlohmann::json;

constexpr double kLogprobBound = 1e-3;
constexpr double kTotalBound = 1e-2;
constexpr double kSmallMargin = 0.02;

class SmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = std::make_unique<Machine>(*SelectIsa(), 2);
    if (const auto checkpoint = OpenSmolLm2()) model_ = LoadModel(*machine_, *checkpoint, "fp32");
  }
  static void TearDownTestSuite() {
    model_.reset();
    machine_.reset();
  }
  void SetUp() override { ASSERT_NE(model_, nullptr) << "the real model is missing; ./test.sh fetches it"; }

  static SampleResult Score(std::span<const float> logits, int32_t id, int top_n) {
    StatusOr<SampleResult> scored = ScoreToken(logits, id, top_n);
    EXPECT_TRUE(scored.ok()) << scored.status();
    return scored.ok() ? *scored : SampleResult();
  }

  static std::unique_ptr<Machine> machine_;
  static ModelPtr model_;
};

std::unique_ptr<Machine> SmolLm2::machine_;
ModelPtr SmolLm2::model_;

// After each prompt token: the five most likely and their log-probabilities.
void CheckTop5(const json& prompt, size_t position, std::span<const float> logits) {
  const auto ids = prompt["top5_ids"][position].get<std::vector<int32_t>>();
  const auto wanted = prompt["top5_logprobs"][position].get<std::vector<double>>();
  const StatusOr<SampleResult> top = ScoreToken(logits, ids[0], 5);
  ASSERT_TRUE(top.ok());
  for (size_t i = 0; i < ids.size(); ++i) {
    // Neighbours closer than the bound may change places, so both lists are compared by value.
    EXPECT_NEAR(ScoreToken(logits, ids[i], 0)->logprob, wanted[i], kLogprobBound) << position << " " << i;
    EXPECT_NEAR(top->top[i].logprob, wanted[i], kLogprobBound) << position << " " << i;
    const bool clear = (i == 0 || wanted[i - 1] - wanted[i] > kLogprobBound) &&
                       (i + 1 < ids.size() && wanted[i] - wanted[i + 1] > kLogprobBound);
    EXPECT_TRUE(!clear || top->top[i].token_id == ids[i]) << position << " " << i;
  }
}

TEST_F(SmolLm2, PromptsAndGreedyText) {
  const json golden = SmolLm2Golden("prompts.json");
  double worst = 0;
  int compared = 0, total = 0;
  for (const json& prompt : golden["prompts"]) {
    SCOPED_TRACE(prompt["text"].get<std::string>().substr(0, 60));
    const auto ids = prompt["ids"].get<std::vector<int32_t>>();
    const auto greedy = prompt["greedy_ids"].get<std::vector<int32_t>>();
    const auto wanted = prompt["prompt_token_logprobs"].get<std::vector<double>>();
    Sequence sequence(*machine_, model_, static_cast<int64_t>(ids.size() + greedy.size()),
                      static_cast<int64_t>(ids.size()));
    double sum = 0;
    std::vector<float> last;
    sequence.Append(ids, [&](int64_t position, std::span<const float> logits) {
      const auto p = static_cast<size_t>(position);
      CheckTop5(prompt, p, logits);
      if (p + 1 == ids.size()) {
        last.assign(logits.begin(), logits.end());
        return;
      }
      const double got = Score(logits, ids[p + 1], 0).logprob;
      EXPECT_NEAR(got, wanted[p], kLogprobBound) << p;
      worst = std::max(worst, std::abs(got - wanted[p]));
      sum += got;
    });
    EXPECT_NEAR(sum, prompt["prompt_total_logprob"].get<double>(), kTotalBound);
    total += static_cast<int>(greedy.size());
    for (size_t i = 0; i < greedy.size(); ++i) {
      if (prompt["greedy_margins"][i].get<double>() < kSmallMargin) break;
      const SampleResult scored = Score(last, greedy[i], 1);
      ASSERT_EQ(scored.top[0].token_id, greedy[i]) << "step " << i;
      EXPECT_NEAR(scored.logprob, prompt["greedy_logprobs"][i].get<double>(), kLogprobBound) << "step " << i;
      worst = std::max(worst, std::abs(scored.logprob - prompt["greedy_logprobs"][i].get<double>()));
      ++compared;
      sequence.Append({&greedy[i], 1},
                      [&](int64_t, std::span<const float> logits) { last.assign(logits.begin(), logits.end()); });
    }
  }
  std::printf("worst log-probability error %.1e; %d of %d greedy tokens compared\n", worst, compared, total);
}

TEST_F(SmolLm2, Perplexity) {
  const json golden = SmolLm2Golden("ppl.json")["float32"];
  const auto windows = PerplexityWindows();
  const auto wanted = golden["window_nll"].get<std::vector<double>>();
  ASSERT_EQ(windows.size(), wanted.size());
  double total = 0;
  int64_t scored = 0;
  for (size_t w = 0; w < windows.size(); ++w) {
    Sequence sequence(*machine_, model_, 512, 512);
    double nll = 0;
    sequence.Append(windows[w], [&](int64_t position, std::span<const float> logits) {
      const auto next = static_cast<size_t>(position) + 1;
      if (next == windows[w].size()) return;
      nll -= Score(logits, windows[w][next], 0).logprob;
      ++scored;
    });
    EXPECT_NEAR(nll, wanted[w], 5e-4 * wanted[w]) << "window " << w;
    total += nll;
  }
  EXPECT_EQ(scored, golden["scored_tokens"].get<int64_t>());
  const double ppl = std::exp(total / static_cast<double>(scored));
  std::printf("perplexity %.5f, wanted %.5f\n", ppl, golden["ppl"].get<double>());
  EXPECT_NEAR(ppl, golden["ppl"].get<double>(), 5e-4 * golden["ppl"].get<double>());
}

TEST_F(SmolLm2, LogLikelihoodRequests) {
  const json golden = SmolLm2Golden("loglikelihood.json");
  double worst = 0;
  for (const json& request : golden["requests"]) {
    SCOPED_TRACE(request["continuation"].get<std::string>());
    auto ids = request["context_ids"].get<std::vector<int32_t>>();
    const auto continuation = request["continuation_ids"].get<std::vector<int32_t>>();
    const size_t context = ids.size();
    ids.insert(ids.end(), continuation.begin(), continuation.end());
    ids.pop_back();  // nothing is asked after the last token
    Sequence sequence(*machine_, model_, static_cast<int64_t>(ids.size()), static_cast<int64_t>(ids.size()));
    double sum = 0;
    bool greedy = true;
    sequence.Append(ids, [&](int64_t position, std::span<const float> logits) {
      if (position + 1 < static_cast<int64_t>(context)) return;
      const int32_t id = continuation[static_cast<size_t>(position) + 1 - context];
      const SampleResult scored = Score(logits, id, 0);
      sum += scored.logprob;
      greedy = greedy && scored.rank == 1;
    });
    EXPECT_NEAR(sum, request["logprob"].get<double>(), kTotalBound);
    worst = std::max(worst, std::abs(sum - request["logprob"].get<double>()));
    EXPECT_TRUE(!request["margin_ok"].get<bool>() || greedy == request["is_greedy"].get<bool>());
  }
  std::printf("worst log-likelihood error %.1e\n", worst);
}

}  // namespace
}  // namespace bitrate::golden
