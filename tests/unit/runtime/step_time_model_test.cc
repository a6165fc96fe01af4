// The model against simulated machines, whose coefficients are known because they are written here.
#include "engine/runtime/step_time_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace bitrate {
namespace {

// Seconds. `noise` is the relative standard deviation; a `preempted` share of the steps takes 2 to 10 times as long.
struct Machine {
  std::string name;
  double step, prefill_token, decode_token, attended_token;
  double noise = 0;
  double preempted = 0;

  double Seconds(const StepWork& w) const {
    return step + prefill_token * w.prefill_tokens + decode_token * w.decode_tokens + attended_token * w.attended;
  }
  double Run(const StepWork& w, std::mt19937& random) const {
    double seconds = Seconds(w) * std::max(0.5, 1 + noise * std::normal_distribution<>()(random));
    if (std::uniform_real_distribution<>()(random) < preempted) {
      seconds *= std::uniform_real_distribution<>(2, 10)(random);
    }
    return seconds;
  }
};

std::vector<Machine> Machines() {
  return {
      // Of the size of a 135M model at 4 bits on two AVX2 cores, and the same with a busy neighbour.
      {"small", 3.5e-3, 0.9e-3, 1.5e-3, 0.3e-6},
      {"noisy", 3.5e-3, 0.9e-3, 1.5e-3, 0.3e-6, 0.05},
      {"preempted", 3.5e-3, 0.9e-3, 1.5e-3, 0.3e-6, 0.05, 0.05},
      // Memory-bound: decode tokens ride free.
      {"free_ride", 20e-3, 1e-3, 0, 1e-6, 0.03},
      {"large", 170e-3, 20e-3, 20e-3, 2e-6, 0.03, 0.02},
      {"fast_device", 8e-3, 23e-6, 30e-6, 1e-9, 0.03},
  };
}

StepWork Prefill(int64_t first, int64_t tokens) {
  return {.prefill_tokens = static_cast<double>(tokens), .attended = AttendedKeys(first, tokens)};
}

StepWork Decode(int sequences, int64_t position) {
  return {.decode_tokens = static_cast<double>(sequences), .attended = sequences * AttendedKeys(position, 1)};
}

StepWork Mixed(const StepWork& a, const StepWork& b) {
  return {a.prefill_tokens + b.prefill_tokens, a.decode_tokens + b.decode_tokens, a.attended + b.attended};
}

StepWork AnyWork(std::mt19937& random) {
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  const StepWork decode = Decode(pick(1, 16), pick(0, 2000)), prefill = Prefill(pick(0, 1500), 8 * pick(1, 32));
  return pick(0, 2) == 0 ? decode : pick(0, 1) == 0 ? prefill : Mixed(decode, prefill);
}

TEST(AttendedKeys, CountsEachTokenAndItsPast) {
  EXPECT_EQ(AttendedKeys(0, 1), 1);
  EXPECT_EQ(AttendedKeys(0, 4), 1 + 2 + 3 + 4);
  EXPECT_EQ(AttendedKeys(10, 3), 11 + 12 + 13);
  EXPECT_EQ(AttendedKeys(10, 0), 0);
}

class StepTimeModelTest : public testing::TestWithParam<Machine> {};

TEST_P(StepTimeModelTest, LearnsTheMachine) {
  const Machine& machine = GetParam();
  for (unsigned seed = 1; seed <= 5; ++seed) {
    std::mt19937 random(seed);
    StepTimeModel model(1e-3);
    for (int i = 0; i < 400; ++i) {
      const StepWork work = AnyWork(random);
      model.Observe(work, machine.Run(work, random));
    }
    const StepTimeCoefficients& found = model.coefficients();
    for (const StepWork& work : {Decode(1, 10), Decode(8, 300), Decode(16, 1900), Prefill(0, 256), Prefill(1500, 64),
                                 Mixed(Decode(4, 500), Prefill(128, 32))}) {
      const double bound = machine.noise == 0 ? 0.005 : 0.10;
      EXPECT_NEAR(found.Predict(work) / machine.Seconds(work), 1, bound) << "seed " << seed;
    }
    EXPECT_GE(std::min({found.step, found.prefill_token, found.decode_token, found.attended_token}), 0);
  }
}

// What a variant's load measures: one token, a chunk. A prediction in between is already of use.
TEST_P(StepTimeModelTest, TwoStepsAreAStart) {
  Machine machine = GetParam();
  StepTimeModel model(machine.attended_token / machine.prefill_token);
  model.Observe(Prefill(0, 64), machine.Seconds(Prefill(0, 64)));
  model.Observe(Decode(1, 0), machine.Seconds(Decode(1, 0)));
  for (const int tokens : {16, 32, 64, 128}) {
    const double truth = machine.Seconds(Prefill(0, tokens));
    EXPECT_NEAR(model.coefficients().Predict(Prefill(0, tokens)) / truth, 1, 0.35) << tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, StepTimeModelTest, testing::ValuesIn(Machines()),
                         [](const auto& info) { return info.param.name; });

TEST(StepTimeModel, KnowsNothingBeforeTheFirstStep) {
  StepTimeModel model(1e-3);
  EXPECT_EQ(model.coefficients().Predict(Prefill(0, 100)), 0);
  EXPECT_EQ(model.coefficients().AttentionWeight(Prefill(0, 100)), 0);
}

TEST(StepTimeModel, IgnoresWhatIsNoMeasurement) {
  StepTimeModel model(1e-3);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  model.Observe(Prefill(0, 64), 0.064);
  const double before = model.coefficients().Predict(Prefill(0, 64));
  for (const double seconds : {0.0, -1.0, nan, inf}) model.Observe(Prefill(0, 64), seconds);
  model.Observe({}, 1.0);
  EXPECT_EQ(model.coefficients().Predict(Prefill(0, 64)), before);
  EXPECT_NEAR(before, 0.064, 0.01);
}

// Decoding alone for a long time must not unlearn what a prefill costs.
TEST(StepTimeModel, KindsOfStepsForgetApart) {
  const Machine machine = Machines()[1];
  std::mt19937 random(3);
  StepTimeModel model(1e-3);
  for (int i = 0; i < 200; ++i) {
    const StepWork work = AnyWork(random);
    model.Observe(work, machine.Run(work, random));
  }
  for (int i = 0; i < 20000; ++i) {
    const StepWork work = Decode(4, 100 + i % 100);
    model.Observe(work, machine.Run(work, random));
  }
  EXPECT_NEAR(model.coefficients().Predict(Prefill(0, 128)) / machine.Seconds(Prefill(0, 128)), 1, 0.10);
}

TEST(StepTimeModel, FollowsAMachineThatBecomesSlower) {
  const Machine fast = Machines()[1];
  Machine slow = fast;
  for (double* c : {&slow.step, &slow.prefill_token, &slow.decode_token, &slow.attended_token}) *c *= 3;
  std::mt19937 random(4);
  StepTimeModel model(1e-3);
  for (int i = 0; i < 300; ++i) {
    const StepWork work = AnyWork(random);
    model.Observe(work, fast.Run(work, random));
  }
  for (int i = 0; i < 600; ++i) {
    const StepWork work = AnyWork(random);
    model.Observe(work, slow.Run(work, random));
  }
  for (const StepWork& work : {Decode(8, 300), Prefill(0, 256)}) {
    EXPECT_NEAR(model.coefficients().Predict(work) / slow.Seconds(work), 1, 0.10);
  }
}

TEST(StepTimeModel, OneStrangeStepMovesLittle) {
  const Machine machine = Machines()[0];
  std::mt19937 random(5);
  StepTimeModel model(1e-3);
  for (int i = 0; i < 300; ++i) {
    const StepWork work = AnyWork(random);
    model.Observe(work, machine.Run(work, random));
  }
  // Much too short happens, too: a step that failed early, a clock that was set.
  for (const double factor : {100.0, 0.01}) {
    model.Observe(Decode(2, 100), factor * machine.Seconds(Decode(2, 100)));
    EXPECT_NEAR(model.coefficients().Predict(Decode(2, 100)) / machine.Seconds(Decode(2, 100)), 1, 0.05) << factor;
  }
}

TEST(StepTimeCoefficients, AttentionWeighsAgainstTheOtherWorkOfAToken) {
  const StepTimeCoefficients c{.step = 6, .prefill_token = 1, .decode_token = 2, .attended_token = 0.5};
  // 6 + 4 x 2 = 14 for 4 tokens, 3.5 each.
  EXPECT_DOUBLE_EQ(c.AttentionWeight({.decode_tokens = 4, .attended = 100}), 0.5 / 3.5);
  // 6 + 6 x 1 = 12 for 6 tokens, 2 each.
  EXPECT_DOUBLE_EQ(c.AttentionWeight({.prefill_tokens = 6, .attended = 21}), 0.25);
  EXPECT_DOUBLE_EQ(c.Predict({.prefill_tokens = 6, .decode_tokens = 4, .attended = 10}), 6 + 6 + 8 + 5);
}

}  // namespace
}  // namespace bitrate
