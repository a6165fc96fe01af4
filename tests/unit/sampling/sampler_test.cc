#include "engine/sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace bitrate {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class SamplerTest : public testing::Test {
 protected:
  StatusOr<SampleResult> Run(const std::vector<float>& logits, int64_t position = 0, int top_logprobs = -1) {
    SampleRequest request;
    request.logits = logits;
    request.params = &params_;
    request.position = position;
    request.choice_index = choice_;
    request.prompt = prompt_;
    request.output = output_;
    request.masked_ids = masked_;
    request.top_logprobs = top_logprobs;
    return Sample(request, scratch_);
  }
  int32_t Token(const std::vector<float>& logits, int64_t position = 0) {
    const StatusOr<SampleResult> result = Run(logits, position);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->token_id : -1;
  }
  // Share of each token over many positions.
  std::map<int32_t, double> Shares(const std::vector<float>& logits, int draws = 20000) {
    std::map<int32_t, double> shares;
    for (int i = 0; i < draws; ++i) shares[Token(logits, i)] += 1.0 / draws;
    return shares;
  }

  SamplingParams params_;
  int choice_ = 0;
  std::vector<int32_t> prompt_, output_, masked_;
  SamplerScratch scratch_;
};

std::vector<float> LogOf(std::initializer_list<double> probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(p == 0 ? -kInf : static_cast<float>(std::log(p) + 2));
  return logits;
}

TEST_F(SamplerTest, GreedyTakesTheLowestOfEqualIds) {
  params_.temperature = 0;
  EXPECT_EQ(Token({1, 5, 5, 2}), 1);
}

TEST_F(SamplerTest, NanFailsTheSequence) {
  for (const float temperature : {0.0f, 1.0f}) {
    params_.temperature = temperature;
    EXPECT_EQ(Run({1, std::nanf(""), 2}).status().code(), StatusCode::kInternal);
  }
}

TEST_F(SamplerTest, AllMaskedFails) {
  masked_ = {0, 1};
  for (const float temperature : {0.0f, 1.0f}) {
    params_.temperature = temperature;
    EXPECT_EQ(Run({1, 2}).status().code(), StatusCode::kInternal);
    EXPECT_EQ(Run({-kInf, -kInf, -kInf}).status().code(), StatusCode::kInternal);
  }
}

TEST_F(SamplerTest, InfiniteLogitWins) {
  std::vector<float> logits(3000, 1.0f);
  logits[2000] = logits[2500] = kInf;
  params_.temperature = 0;
  EXPECT_EQ(Token(logits), 2000);
  params_.temperature = 1;
  const auto shares = Shares(logits, 2000);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_NEAR(shares.at(2000), 0.5, 0.05);
  EXPECT_NEAR(shares.at(2500), 0.5, 0.05);
}

TEST_F(SamplerTest, DrawsFollowTheDistribution) {
  const auto shares = Shares(LogOf({0.5, 0.25, 0, 0.2, 0.05}));
  EXPECT_NEAR(shares.at(0), 0.5, 0.015);
  EXPECT_NEAR(shares.at(1), 0.25, 0.015);
  EXPECT_NEAR(shares.at(3), 0.2, 0.015);
  EXPECT_NEAR(shares.at(4), 0.05, 0.01);
  EXPECT_EQ(shares.count(2), 0u);
}

TEST_F(SamplerTest, DrawsFollowTheDistributionAcrossVocabularyChunks) {
  std::vector<float> logits(5000, -kInf);
  logits[10] = std::log(0.25f);
  logits[1024] = std::log(0.5f);
  logits[4999] = std::log(0.25f);
  const auto shares = Shares(logits, 10000);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_NEAR(shares.at(10), 0.25, 0.02);
  EXPECT_NEAR(shares.at(1024), 0.5, 0.02);
  EXPECT_NEAR(shares.at(4999), 0.25, 0.02);
}

TEST_F(SamplerTest, TemperatureSharpensAndFlattens) {
  params_.temperature = 0.5f;  // squares the odds: 0.8 / 0.2 becomes 16 / 1
  EXPECT_NEAR(Shares(LogOf({0.8, 0.2})).at(1), 1.0 / 17, 0.01);
  params_.temperature = 2.0f;  // roots: 2 / 1
  EXPECT_NEAR(Shares(LogOf({0.8, 0.2})).at(1), 1.0 / 3, 0.015);
}

TEST_F(SamplerTest, TinyTemperatureIsGreedy) {
  params_.temperature = 1e-45f;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Token({-1e30f, 3, 2.9999f, 1e30f}, i), 3);
}

TEST_F(SamplerTest, TopK) {
  params_.top_k = 2;
  const auto shares = Shares(LogOf({0.1, 0.3, 0.2, 0.4}));
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_NEAR(shares.at(3), 4.0 / 7, 0.015);
  EXPECT_NEAR(shares.at(1), 3.0 / 7, 0.015);
  params_.top_k = 1;
  EXPECT_EQ(Token({1, 5, 5, 2}), 1);
  params_.top_k = 1000;  // more than there are: no limit
  EXPECT_EQ(Shares(LogOf({0.25, 0.25, 0.25, 0.25})).size(), 4u);
}

TEST_F(SamplerTest, TopKTiesKeepTheLowestIds) {
  for (const int k : {3, 100}) {  // by insertion and by nth_element
    params_.top_k = k;
    std::vector<float> logits(400, 1.0f);
    for (const auto& [id, share] : Shares(logits, 3000)) EXPECT_LT(id, k);
  }
}

TEST_F(SamplerTest, TopPKeepsTheSmallestSetThatReachesIt) {
  params_.top_p = 0.75f;  // 0.5 + 0.3 reaches it, 0.5 alone does not
  const auto shares = Shares(LogOf({0.05, 0.5, 0.15, 0.3}));
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_NEAR(shares.at(1), 0.625, 0.015);
  params_.top_p = 0.4f;
  EXPECT_EQ(Shares(LogOf({0.05, 0.5, 0.15, 0.3}), 500).size(), 1u);
  params_.top_p = 1e-20f;  // never an empty set
  EXPECT_EQ(Token(LogOf({0.05, 0.5, 0.15, 0.3})), 1);
}

TEST_F(SamplerTest, TopPOfAWideFlatDistribution) {
  params_.top_p = 0.5f;
  std::vector<float> logits(3000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 1e-6f * static_cast<float>((i * 1237) % 3000);
  const auto shares = Shares(logits, 2000);
  for (const auto& [id, share] : shares) EXPECT_GE((static_cast<size_t>(id) * 1237) % 3000, 1490u);
  EXPECT_GT(shares.size(), 1000u);
}

TEST_F(SamplerTest, TopPAppliesAfterTopK) {
  params_.top_k = 2;  // leaves 0.4 and 0.3: 0.57 and 0.43
  params_.top_p = 0.5f;
  EXPECT_EQ(Shares(LogOf({0.4, 0.3, 0.2, 0.1}), 500).size(), 1u);
}

TEST_F(SamplerTest, MinP) {
  params_.min_p = 0.5f;
  const auto shares = Shares(LogOf({0.4, 0.25, 0.15, 0.2}));
  ASSERT_EQ(shares.size(), 3u);  // 0.2 is exactly half of the best; rounding may put it on either side
  EXPECT_EQ(shares.count(2), 0u);
  params_.min_p = 1.0f;
  EXPECT_EQ(Token(LogOf({0.4, 0.25, 0.15, 0.2})), 0);
}

TEST_F(SamplerTest, PenaltiesByHand) {
  params_.temperature = 0;
  params_.repetition_penalty = 2;
  prompt_ = {0, 0};  // once, whatever the count
  EXPECT_EQ(Token({8, 5, 3}), 1);
  EXPECT_EQ(Token({11, 5, 3}), 0);
  EXPECT_EQ(Token({-1, -1.5f, -3}), 1);  // a negative logit is multiplied: -2
  params_.repetition_penalty = 1;
  output_ = {0, 0, 0};
  params_.frequency_penalty = 1;
  EXPECT_EQ(Token({8, 4.9f, 3}), 0);
  EXPECT_EQ(Token({8, 5.1f, 3}), 1);
  params_.frequency_penalty = 0;
  params_.presence_penalty = 1;
  EXPECT_EQ(Token({8, 6.9f, 3}), 0);
  EXPECT_EQ(Token({8, 7.1f, 3}), 1);
  output_ = {};  // presence and frequency look at the output only
  EXPECT_EQ(Token({8, 7.1f, 3}), 0);
}

TEST_F(SamplerTest, PenaltiesLeaveNoTraceInScratch) {
  params_.temperature = 0;
  params_.repetition_penalty = 1.5f;
  params_.frequency_penalty = 0.5f;
  prompt_ = {1, 2};
  output_ = {2, 2, 999};  // an id outside the row is ignored
  const int32_t first = Token({1, 2, 3});
  EXPECT_EQ(Token({1, 2, 3}), first);
  for (const int32_t count : scratch_.counts) EXPECT_EQ(count, 0);
}

TEST_F(SamplerTest, BiasAndMask) {
  params_.temperature = 0;
  params_.logit_bias = {{2, 10.0f}, {1, -100.0f}};
  EXPECT_EQ(Token({8, 9, 3}), 2);
  masked_ = {2};
  EXPECT_EQ(Token({8, 9, 3}), 0);
}

TEST_F(SamplerTest, SeedChoiceAndPositionDecideAndNothingElse) {
  std::vector<float> logits(100, 0.0f);
  std::vector<int32_t> first, again, other_seed, other_choice;
  for (int i = 0; i < 20; ++i) first.push_back(Token(logits, i));
  Token(std::vector<float>(5000, 1.0f), 3);  // something between must not matter
  for (int i = 0; i < 20; ++i) again.push_back(Token(logits, i));
  params_.seed = 1;
  for (int i = 0; i < 20; ++i) other_seed.push_back(Token(logits, i));
  params_.seed = 0;
  choice_ = 1;
  for (int i = 0; i < 20; ++i) other_choice.push_back(Token(logits, i));
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other_seed);
  EXPECT_NE(first, other_choice);
}

TEST_F(SamplerTest, LogprobsAreOfTheRawDistribution) {
  params_.temperature = 0;
  params_.logit_bias = {{3, 100.0f}};
  const StatusOr<SampleResult> result = Run(LogOf({0.5, 0.25, 0.2, 0.05}), 0, 2);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->token_id, 3);
  EXPECT_NEAR(result->logprob, std::log(0.05), 1e-5);
  EXPECT_EQ(result->rank, 4);
  ASSERT_EQ(result->top.size(), 2u);
  EXPECT_EQ(result->top[0].token_id, 0);
  EXPECT_EQ(result->top[1].token_id, 1);
  EXPECT_EQ(result->top[1].rank, 2);
  EXPECT_NEAR(result->top[1].logprob, std::log(0.25), 1e-5);
}

TEST_F(SamplerTest, ScoreTokenHasTheBitsOfSample) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(49152);
  for (float& x : logits) x = normal(random);
  for (const float temperature : {0.0f, 1.0f}) {
    params_.temperature = temperature;
    const StatusOr<SampleResult> sampled = Run(logits, 9, 5);
    ASSERT_TRUE(sampled.ok());
    const StatusOr<SampleResult> scored = ScoreToken(logits, sampled->token_id, 5);
    ASSERT_TRUE(scored.ok());
    EXPECT_EQ(scored->logprob, sampled->logprob);
    EXPECT_EQ(scored->rank, sampled->rank);
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(scored->top[i].token_id, sampled->top[i].token_id);
      EXPECT_EQ(scored->top[i].logprob, sampled->top[i].logprob);
    }
  }
  const StatusOr<SampleResult> best = Run(logits, 9, 1);
  EXPECT_EQ(ScoreToken(logits, best->top[0].token_id, 0)->logprob, best->top[0].logprob);
}

TEST(ScoreToken, RefusesBadInput) {
  const std::vector<float> logits = {1, 2, 3};
  EXPECT_EQ(ScoreToken(logits, 3, 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ScoreToken(logits, -1, 0).status().code(), StatusCode::kInvalidArgument);
  const std::vector<float> nan = {1, std::nanf("")};
  EXPECT_EQ(ScoreToken(nan, 0, 0).status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace bitrate
