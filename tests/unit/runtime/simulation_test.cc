// Seeded random schedules. A failing one prints its seed; replay it with
//   BITRATE_SIMULATION_SEED=N simulation_test --gtest_filter=Simulation.Replay
#include "tests/unit/runtime/simulation.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace bitrate {
namespace {

// 100,000 take about 20 seconds of one core; under a sanitizer each costs twenty times as much.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kSchedules = 8'000;
#else
constexpr uint64_t kSchedules = 100'000;
#endif
constexpr int kShards = 4;

class SimulationShard : public testing::TestWithParam<int> {};

TEST_P(SimulationShard, NoInvariantBreaks) {
  SimulationStats stats;
  for (uint64_t seed = GetParam(); seed < kSchedules; seed += kShards) {
    SeededOps ops(seed);
    const std::string wrong = RunSchedule(ops, Plant::kNone, &stats);
    ASSERT_EQ(wrong, "") << "replay: BITRATE_SIMULATION_SEED=" << seed;
  }
  fmt::print(
      "steps {} (cut by time {}) sequences {} tokens {} preemptions {} cached {} recomputed {} outgrown {} finished {} "
      "cancelled {} expired {} failed {}\n",
      stats.steps, stats.time_limited, stats.sequences, stats.tokens, stats.preemptions, stats.cached_tokens,
      stats.recomputed_tokens, stats.outgrown, stats.finished, stats.cancelled, stats.expired, stats.failed);
  // The schedules are worth something only while they reach the interesting states.
  constexpr auto per_shard = static_cast<int64_t>(kSchedules / kShards);
  EXPECT_GT(stats.time_limited, per_shard / 5);
  EXPECT_GT(stats.preemptions, per_shard / 25);
  EXPECT_GT(stats.cached_tokens, per_shard / 2);
  EXPECT_GT(stats.recomputed_tokens, per_shard / 25);
  EXPECT_GT(stats.outgrown, per_shard / 25);
  EXPECT_GT(stats.cancelled, per_shard / 25);
  EXPECT_GT(stats.expired, per_shard / 25);
  EXPECT_GT(stats.failed, per_shard / 25);
  EXPECT_GT(stats.finished, per_shard / 2);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationShard, testing::Range(0, kShards));

TEST(Simulation, Replay) {
  const char* seed = std::getenv("BITRATE_SIMULATION_SEED");
  SeededOps ops(seed == nullptr ? 0 : std::strtoull(seed, nullptr, 10));
  EXPECT_EQ(RunSchedule(ops, Plant::kNone, nullptr), "");
}

// A net with a hole catches nothing: one block that is not freed must be reported.
TEST(Simulation, FindsABlockThatIsNotFreed) {
  for (const Plant plant : {Plant::kSkipFree, Plant::kSkipEveryFree}) {
    int caught = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      SeededOps ops(seed);
      caught += !RunSchedule(ops, plant, nullptr).empty();
    }
    EXPECT_GT(caught, 150) << "of 200 schedules with the bug planted";
  }
}

}  // namespace
}  // namespace bitrate
