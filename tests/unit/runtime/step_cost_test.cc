#include "engine/runtime/step_cost.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitrate {
namespace {

std::unique_ptr<Sequence> MakeSequence(int prompt, int total) {
  SequenceInit init;
  init.prompt.assign(prompt, 1);
  init.max_total_tokens = total;
  return std::make_unique<Sequence>(std::move(init));
}

PlanEntry Entry(Sequence* sequence, int64_t first, int num_tokens, int num_recomputed = 0) {
  PlanEntry entry;
  entry.sequence = sequence;
  entry.first = first;
  entry.num_tokens = num_tokens;
  entry.num_recomputed = num_recomputed;
  return entry;
}

TEST(StepCost, FollowsTokensWhereAttentionIsFree) {
  const auto a = MakeSequence(30, 100), b = MakeSequence(10, 100);
  StepPlan plan;
  plan.entries = {Entry(a.get(), 0, 30), Entry(b.get(), 10, 1), Entry(b.get(), 20, 9, 4)};
  std::vector<EntryCost> costs;
  SplitStepCost(plan, 4.0, 0, &costs);
  EXPECT_DOUBLE_EQ(costs[0].prefill, 3.0);
  EXPECT_DOUBLE_EQ(costs[0].decode, 0);
  EXPECT_DOUBLE_EQ(costs[1].decode, 0.1);
  EXPECT_DOUBLE_EQ(costs[2].wasted, 0.4);
  EXPECT_DOUBLE_EQ(costs[2].decode, 0.5);
}

TEST(StepCost, ALongContextPaysForWhatItReads) {
  const auto a = MakeSequence(1, 2000), b = MakeSequence(1, 2000);
  StepPlan plan;
  plan.entries = {Entry(a.get(), 0, 1), Entry(b.get(), 999, 1)};
  std::vector<EntryCost> costs;
  SplitStepCost(plan, 1.0, 0.001, &costs);
  // Weights 1 + 0.001 and 1 + 1.
  EXPECT_NEAR(costs[0].prefill, 1.001 / 3.001, 1e-12);
  EXPECT_NEAR(costs[1].decode, 2.0 / 3.001, 1e-12);
}

TEST(StepCost, AttentionOfAChunkIsTheSumOverItsTokens) {
  const auto a = MakeSequence(8, 100), b = MakeSequence(8, 100);
  StepPlan chunk, single;
  chunk.entries = {Entry(a.get(), 2, 3), Entry(b.get(), 0, 1)};
  std::vector<EntryCost> costs;
  SplitStepCost(chunk, 1.0, 1.0, &costs);
  // Tokens at 2, 3, 4 see 3, 4, 5 keys: 3 + 12; the other token 1 + 1.
  EXPECT_NEAR(costs[0].prefill, 15.0 / 17.0, 1e-12);
}

TEST(StepCost, AddsUp) {
  const auto a = MakeSequence(50, 500);
  StepPlan plan;
  for (int i = 0; i < 40; ++i) plan.entries.push_back(Entry(a.get(), i * 7, 1 + i % 9, i % 9 / 2));
  std::vector<EntryCost> costs;
  SplitStepCost(plan, 0.0123, 1.0 / 3456, &costs);
  double sum = 0;
  for (const EntryCost& cost : costs) sum += cost.prefill + cost.decode + cost.wasted;
  EXPECT_NEAR(sum, 0.0123, 1e-15);
  SplitStepCost(StepPlan{}, 1.0, 0, &costs);
  EXPECT_TRUE(costs.empty());
}

}  // namespace
}  // namespace bitrate
