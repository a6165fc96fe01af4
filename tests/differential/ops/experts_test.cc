// Routing of tokens to experts, and rows on their way to experts and back, against f64.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"

namespace bitrate {
namespace {

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routed Route(std::vector<float> logits, int64_t experts, int64_t k, bool renormalize) {
  const CpuBackend backend(*SelectIsa(), false);
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  const auto m = static_cast<int64_t>(logits.size()) / experts;
  Routed out{std::vector<int32_t>(static_cast<size_t>(m * k)), std::vector<float>(static_cast<size_t>(m * k))};
  backend.RouteExperts(context, logits.data(), m, experts, k, renormalize, out.ids.data(), out.weights.data());
  return out;
}

TEST(Experts, TheLargestInAscendingOrderOfId) {
  const Routed r = Route({0, 3, 1, 2, /**/ 5, -1, 4, 0}, 4, 2, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{1, 3, 0, 2}));
  const double sum = 1 + std::exp(3.0) + std::exp(1.0) + std::exp(2.0);
  EXPECT_NEAR(r.weights[0], std::exp(3.0) / sum, 1e-6);
  EXPECT_NEAR(r.weights[1], std::exp(2.0) / sum, 1e-6);
}

TEST(Experts, RenormalizedWeightsSumToOne) {
  const Routed r = Route({0, 3, 1, 2}, 4, 2, true);
  EXPECT_NEAR(r.weights[0], std::exp(3.0) / (std::exp(3.0) + std::exp(2.0)), 1e-6);
  EXPECT_NEAR(r.weights[0] + r.weights[1], 1.0, 1e-6);
}

TEST(Experts, TiesGoToTheLowerId) {
  EXPECT_EQ(Route({1, 2, 2, 2}, 4, 2, true).ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(Route({0, 0, 0, 0}, 4, 3, true).ids, (std::vector<int32_t>{0, 1, 2}));
}

TEST(Experts, NanStaysVisibleAndInItsRow) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Routed r = Route({0, nan, 1, 2, /**/ 0, 3, 1, 2}, 4, 2, true);
  EXPECT_TRUE(std::isnan(r.weights[0]));
  EXPECT_EQ(r.ids[2], 1);
  EXPECT_NEAR(r.weights[2] + r.weights[3], 1.0, 1e-6);
}

TEST(Experts, RowsAreCombinedFromTheirSlots) {
  constexpr int64_t kRows = 5, kEach = 3, kWidth = 37;
  std::mt19937 rng(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(kRows * kEach * kWidth), weights(kRows * kEach), y(kRows * kWidth, -1.0f);
  for (float& v : x) v = normal(rng);
  for (float& v : weights) v = normal(rng);
  std::vector<int32_t> slots(kRows * kEach);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int32_t>((i * 7) % slots.size());
  const CpuBackend backend(*SelectIsa(), false);
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  backend.CombineRows(context, x.data(), slots.data(), weights.data(), kRows, kEach, kWidth, y.data());
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < kWidth; ++i) {
      double want = 0;
      for (int64_t j = 0; j < kEach; ++j) {
        want += double{weights[r * kEach + j]} * x[slots[r * kEach + j] * kWidth + i];
      }
      EXPECT_NEAR(y[r * kWidth + i], want, 1e-5);
    }
  }
  const std::vector<int32_t> picked = {3, 0, 3};
  std::vector<float> rows(picked.size() * kWidth);
  backend.PickRows(context, x.data(), picked, kWidth, rows.data());
  EXPECT_EQ(rows[0], x[3 * kWidth]);
  EXPECT_EQ(rows[kWidth + 1], x[1]);
  EXPECT_EQ(rows[3 * kWidth - 1], x[4 * kWidth - 1]);
}

}  // namespace
}  // namespace bitrate
