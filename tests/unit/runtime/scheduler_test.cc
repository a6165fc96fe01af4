#include "engine/runtime/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

namespace bitrate {
namespace {

constexpr int kBlockTokens = 4;
constexpr int64_t kSecond = 1'000'000'000;

class SchedulerTest : public testing::Test {
 protected:
  void Make(const SchedulerOptions& options, int num_blocks) {
    options_ = options;
    pool_ = std::make_unique<BlockPool>(std::make_unique<BlockAllocator>(num_blocks), kBlockTokens);
    scheduler_ = std::make_unique<Scheduler>(options, pool_.get());
  }
  void TearDown() override {
    if (scheduler_ == nullptr) return;
    EXPECT_EQ(scheduler_->CheckInvariants(), "");
  }

  Sequence* Add(int prompt, int output, int priority = 1, int32_t first_token = -1, uint64_t group = 0) {
    SequenceInit init;
    init.id = init.ticket = sequences_.size() + 1;
    init.group = group != 0 ? group : init.id;
    init.priority = priority;
    init.arrival_ns = now_;
    // Prompts differ from each other unless a test wants them to meet.
    const int32_t base = first_token >= 0 ? first_token : static_cast<int32_t>(1000 * init.id);
    for (int i = 0; i < prompt; ++i) init.prompt.push_back(base + i);
    init.max_total_tokens = prompt + output;
    sequences_.push_back(std::make_unique<Sequence>(std::move(init)));
    scheduler_->Add(sequences_.back().get());
    return sequences_.back().get();
  }

  // One step: tokens computed of each sequence. Sequences that reached their end are removed.
  std::map<const Sequence*, int> Step() {
    scheduler_->Schedule(now_, &plan_, time_);
    EXPECT_EQ(scheduler_->CheckInvariants(), "");
    std::map<const Sequence*, int> computed;
    for (const PlanEntry& entry : plan_.entries) {
      computed[entry.sequence] = entry.num_tokens;
      scheduler_->Commit(entry);
      if (!entry.completes) continue;
      if (entry.sequence->num_tokens() == entry.sequence->max_total_tokens()) {
        scheduler_->Remove(entry.sequence);
      } else {
        entry.sequence->Append(7);
      }
    }
    return computed;
  }
  using Computed = std::map<const Sequence*, int>;

  SchedulerOptions options_;
  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  StepPlan plan_;
  int64_t now_ = kSecond;
  StepTimeCoefficients time_;
};

TEST_F(SchedulerTest, PrefillIsCutToTheBudgetAndDecodesComeFirst) {
  Make({.max_sequences = 4, .max_step_tokens = 8}, 64);
  Sequence* a = Add(5, 10);
  Sequence* b = Add(20, 10);
  EXPECT_EQ(Step(), (Computed{{a, 5}, {b, 3}}));
  EXPECT_EQ(Step(), (Computed{{a, 1}, {b, 7}}));
  EXPECT_EQ(plan_.num_decode_tokens, 1);
  EXPECT_EQ(plan_.num_prefill_tokens, 7);
  EXPECT_EQ(Step(), (Computed{{a, 1}, {b, 7}}));
  EXPECT_EQ(Step(), (Computed{{a, 1}, {b, 3}}));
  EXPECT_EQ(Step(), (Computed{{a, 1}, {b, 1}}));
}

// --- The time budget ---

// Milliseconds; the numbers of a test are worked out beside it.
StepTimeCoefficients Times(double step, double prefill_token, double decode_token, double attended_token = 0) {
  return {step * 1e-3, prefill_token * 1e-3, decode_token * 1e-3, attended_token * 1e-3};
}

class TimeBudgetTest : public SchedulerTest {
 protected:
  // One sequence decodes (4 prompt tokens computed), one with `prompt` tokens has just come. Prefill tokens of the
  // step.
  int PrefillBesideDecodes(int num_decodes, int prompt, const SchedulerOptions& options,
                           const StepTimeCoefficients& time) {
    Make(options, 4096);
    for (int i = 0; i < num_decodes; ++i) Add(4, 100);
    Step();
    Add(prompt, 10);
    time_ = time;
    Step();
    EXPECT_EQ(plan_.num_decode_tokens, num_decodes) << "decodes come first, whatever they take";
    return plan_.num_prefill_tokens;
  }
};

TEST_F(TimeBudgetTest, AChunkIsWhatFitsBesideTheDecodesRoundedToTiles) {
  struct Row {
    double budget_ms;
    int decodes;
    StepTimeCoefficients time;
    int prompt, want;
    const char* why;
  };
  const Row rows[] = {
      {40, 1, Times(4, 1, 1), 384, 31, "40 - 4 - 1 = 35 fit; 36 rows become 32"},
      {40, 8, Times(4, 1, 1), 384, 24, "40 - 4 - 8 = 28 fit; 36 rows become 32"},
      {160, 4, Times(4, 1, 1), 384, 124, "152 fit; 156 rows become 128"},
      {16, 1, Times(4, 1, 1), 384, 8, "11 fit; 12 rows become 8; 7 beside the decode are less than the least chunk"},
      {40, 1, Times(4, 1, 1), 20, 20, "all of the prompt fits: nothing is rounded"},
      {40, 1, Times(4, 0.01, 1), 384, 255, "max_step_tokens stays the upper bound"},
      {40, 1, Times(4, 1, 1, 1), 384, 8, "attention: n + n^2 / 2 = 30 gives 6.8, fewer than the least chunk"},
      {400, 1, Times(4, 1, 1, 1), 384, 15, "n + n^2 / 2 = 390 gives 26.9; 27 rows become 16"},
      {0, 1, Times(4, 1, 1), 384, 255, "no time budget"},
      {40, 1, {}, 384, 255, "nothing is known"},
  };
  for (const Row& row : rows) {
    const SchedulerOptions options{
        .max_sequences = 16, .max_step_tokens = 256, .step_budget_seconds = row.budget_ms * 1e-3};
    EXPECT_EQ(PrefillBesideDecodes(row.decodes, row.prompt, options, row.time), row.want) << row.why;
  }
}

TEST_F(TimeBudgetTest, PrefillKeepsAQuarterOfAStepThatDecodesFill) {
  const SchedulerOptions options{.max_sequences = 64, .max_step_tokens = 256, .step_budget_seconds = 0.04};
  // Decodes take 6 + 32 x 3 = 102 ms, so 34 ms are left to prefill: 34 tokens, 66 rows, 64 with the decodes.
  EXPECT_EQ(PrefillBesideDecodes(32, 384, options, Times(6, 1, 3)), 32);
  // 170 + 20 = 190 ms: 63 ms are 3 tokens of 20 ms; the least chunk is 8.
  EXPECT_EQ(PrefillBesideDecodes(1, 384, options, Times(170, 20, 20)), 8);
}

TEST_F(TimeBudgetTest, WithoutDecodesNobodyWaits) {
  Make({.max_sequences = 4, .max_step_tokens = 256, .step_budget_seconds = 0.04}, 4096);
  time_ = Times(4, 1, 1);
  Sequence* a = Add(600, 10);
  EXPECT_EQ(Step(), (Computed{{a, 256}}));
  EXPECT_EQ(Step(), (Computed{{a, 256}}));
  EXPECT_EQ(Step(), (Computed{{a, 88}}));
}

TEST_F(TimeBudgetTest, OneIsAdmittedWhenTheChunkHasRoomForIt) {
  Make({.max_sequences = 4, .max_step_tokens = 256, .step_budget_seconds = 0.04}, 4096);
  Sequence* decode = Add(4, 100);
  Step();
  time_ = Times(4, 1, 1);  // 31 beside one decode
  Sequence* a = Add(40, 10);
  Sequence* b = Add(40, 10);
  EXPECT_EQ(Step(), (Computed{{decode, 1}, {a, 31}}));
  EXPECT_FALSE(b->running());
  EXPECT_EQ(Step(), (Computed{{decode, 1}, {a, 9}, {b, 22}}));
}

TEST_F(SchedulerTest, FirstComeFirstServedWithinAClass) {
  Make({.max_sequences = 1, .max_step_tokens = 8}, 64);
  Sequence* a = Add(4, 1);
  Sequence* b = Add(4, 1);
  EXPECT_EQ(Step(), (Computed{{a, 4}}));
  EXPECT_EQ(Step(), (Computed{{a, 1}}));
  EXPECT_EQ(Step(), (Computed{{b, 4}}));
}

TEST_F(SchedulerTest, TheMoreUrgentClassGoesFirst) {
  Make({.max_sequences = 1, .max_step_tokens = 8}, 64);
  Add(4, 1, 3);
  Sequence* urgent = Add(4, 1, 0);
  EXPECT_EQ(Step(), (Computed{{urgent, 4}}));
}

TEST_F(SchedulerTest, WaitingMakesMoreUrgent) {
  Make({.max_sequences = 1, .max_step_tokens = 8, .aging_ns = kSecond}, 64);
  Sequence* old = Add(4, 1, 3);
  now_ += 3 * kSecond;
  Add(4, 1, 0);
  EXPECT_EQ(Step(), (Computed{{old, 4}})) << "after three times aging_ns it is of class 0, and it came first";
}

TEST_F(SchedulerTest, AnUrgentSequencePreemptsForASlot) {
  Make({.max_sequences = 1, .max_step_tokens = 8}, 64);
  Sequence* slow = Add(8, 20, 3);
  Step();
  Step();
  Sequence* urgent = Add(4, 1, 0);
  EXPECT_EQ(Step(), (Computed{{urgent, 4}}));
  EXPECT_EQ(plan_.preempted, std::vector<Sequence*>{slow});
  EXPECT_EQ(slow->state(), SequenceState::kPreempted);
  Step();
  // Its blocks are still cached: of 10 tokens, two blocks are found and the rest is computed again.
  EXPECT_EQ(Step(), (Computed{{slow, 2}}));
  EXPECT_EQ(plan_.entries[0].num_recomputed, 1);
}

TEST_F(SchedulerTest, AnEqualClassDoesNotPreemptForASlot) {
  Make({.max_sequences = 1, .max_step_tokens = 8}, 64);
  Sequence* first = Add(4, 20, 1);
  Step();
  Add(4, 1, 1);
  EXPECT_EQ(Step(), (Computed{{first, 1}}));
  EXPECT_TRUE(plan_.preempted.empty());
}

TEST_F(SchedulerTest, WhenBlocksRunOutTheLatestOfTheLowestClassIsPreempted) {
  Make({.max_sequences = 4, .max_step_tokens = 32, .prefix_cache = false}, 9);
  Sequence* a = Add(8, 12, 1);
  Sequence* b = Add(8, 12, 1);
  EXPECT_EQ(Step(), (Computed{{a, 8}, {b, 8}}));
  for (int i = 0; i < 8; ++i) Step();
  // Both hold 4 blocks of 16 tokens, one block is left: the first takes it, then the second must go.
  EXPECT_EQ(Step(), (Computed{{a, 1}}));
  EXPECT_TRUE(plan_.preempted.empty()) << "nobody is behind b: it waits, keeping its blocks";
  while (a->running()) Step();
  while (b->running()) Step();
  EXPECT_EQ(b->num_tokens(), 20);
}

TEST_F(SchedulerTest, ARecomputedSequenceKeepsItsTokens) {
  Make({.max_sequences = 4, .max_step_tokens = 64, .prefix_cache = false}, 10);
  Sequence* a = Add(12, 20, 0);
  Sequence* b = Add(12, 20, 1);
  Step();
  while (b->running()) Step();
  EXPECT_EQ(b->state(), SequenceState::kPreempted);
  EXPECT_TRUE(b->table.empty());
  const int64_t kept = b->num_tokens();
  EXPECT_GT(kept, 12);
  while (a->state() != SequenceState::kFinished) Step();
  const Computed again = Step();
  EXPECT_EQ(again.at(b), kept) << "prompt and output at once, as prefill";
  EXPECT_EQ(plan_.entries[0].num_recomputed, kept - 1);
  EXPECT_FALSE(plan_.entries[0].decode);
}

TEST_F(SchedulerTest, PreemptionsAreBounded) {
  SchedulerOptions options{.max_sequences = 1, .max_step_tokens = 64};
  options.max_preemptions = 2;
  options.aging_ns = 1000 * kSecond;
  Make(options, 64);
  Sequence* slow = Add(4, 30, 3);
  for (int round = 0; round < 5; ++round) {
    Step();
    Add(4, 0, 0);
    Step();
  }
  EXPECT_EQ(slow->num_preemptions(), 2);
  EXPECT_TRUE(slow->running()) << "protected: the urgent ones wait now";
}

TEST_F(SchedulerTest, PrefillGetsAShareWhenDecodesFillTheBudget) {
  SchedulerOptions options{.max_sequences = 8, .max_step_tokens = 4};
  options.prefill_every = 3;
  Make(options, 64);
  for (int i = 0; i < 4; ++i) Add(1, 50);
  Step();
  Sequence* late = Add(3, 5);
  int waited = 0;
  while (late->num_computed() == 0 && waited < 10) {
    Step();
    ++waited;
  }
  EXPECT_LE(waited, 3);
}

TEST_F(SchedulerTest, MoreDecodesThanBudgetTakeTurns) {
  Make({.max_sequences = 8, .max_step_tokens = 2}, 64);
  std::vector<Sequence*> all;
  for (int i = 0; i < 4; ++i) all.push_back(Add(1, 40));
  for (int i = 0; i < 60; ++i) Step();
  for (const Sequence* s : all) EXPECT_GT(s->num_output(), 5) << s->id();
}

TEST_F(SchedulerTest, AFullPromptHitStillComputesItsLastBlock) {
  Make({.max_sequences = 4, .max_step_tokens = 64}, 64);
  Sequence* a = Add(8, 0, 1, 500);
  Step();
  EXPECT_EQ(a->state(), SequenceState::kFinished);
  Sequence* b = Add(8, 4, 1, 500);
  EXPECT_EQ(Step(), (Computed{{b, 4}}));
  EXPECT_EQ(b->first_cached(), 4);
}

TEST_F(SchedulerTest, ChoicesWaitForTheFirstToComputeTheirPrompt) {
  Make({.max_sequences = 4, .max_step_tokens = 16}, 64);
  Sequence* a = Add(9, 4, 1, 500, 77);
  Sequence* b = Add(9, 4, 1, 500, 77);
  Sequence* other = Add(4, 4);
  EXPECT_EQ(Step(), (Computed{{a, 9}, {other, 4}})) << "others may go on meanwhile";
  EXPECT_EQ(Step(), (Computed{{a, 1}, {b, 1}, {other, 1}}));
  EXPECT_EQ(b->first_cached(), 8);
  EXPECT_EQ(b->table[0], a->table[0]);
}

TEST_F(SchedulerTest, WithoutTheCacheNothingIsShared) {
  Make({.max_sequences = 4, .max_step_tokens = 32, .prefix_cache = false}, 64);
  Sequence* a = Add(9, 4, 1, 500, 77);
  Sequence* b = Add(9, 4, 1, 500, 77);
  EXPECT_EQ(Step(), (Computed{{a, 9}, {b, 9}}));
  EXPECT_EQ(b->first_cached(), 0);
}

TEST_F(SchedulerTest, ASequenceAsLargeAsThePoolRuns) {
  Make({.max_sequences = 4, .max_step_tokens = 64}, 4);
  Sequence* small = Add(4, 8, 1);
  Step();
  Sequence* large = Add(12, 4, 1);
  for (int i = 0; i < 40; ++i) Step();
  EXPECT_EQ(small->state(), SequenceState::kFinished);
  EXPECT_EQ(large->state(), SequenceState::kFinished);
  EXPECT_EQ(pool_->allocator().num_used(), 0);
}

TEST_F(SchedulerTest, RemovedWhileWaitingRunningAndPreempted) {
  Make({.max_sequences = 1, .max_step_tokens = 8}, 64);
  Sequence* a = Add(8, 20, 3);
  Sequence* waiting = Add(8, 20, 3);
  Step();
  scheduler_->Remove(waiting);
  Sequence* urgent = Add(4, 20, 0);
  Step();
  ASSERT_EQ(a->state(), SequenceState::kPreempted);
  scheduler_->Remove(a);
  scheduler_->Remove(urgent);
  EXPECT_TRUE(scheduler_->idle());
  EXPECT_EQ(pool_->allocator().num_used(), 0);
}

}  // namespace
}  // namespace bitrate
