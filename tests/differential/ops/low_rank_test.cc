// Low-rank updates against f64, the same bits on every ISA, and rows that do not depend on their company.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/compute_pool.h"
#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

struct Shape {
  int64_t rank, k, n;
};
const Shape kShapes[] = {{1, 1, 1}, {8, 64, 64}, {3, 17, 100}, {5, 100, 33}, {16, 576, 1536}, {64, 33, 15}};

TEST(LowRank, HalvesAreRightAndTheSameOnEveryIsa) {
  std::mt19937 rng(1);
  for (const auto& [rank, k, n] : kShapes) {
    SCOPED_TRACE(testing::Message() << rank << " x " << k << " x " << n);
    const auto a = Normal(&rng, static_cast<size_t>(rank * k)), x = Normal(&rng, static_cast<size_t>(k));
    const auto b = Normal(&rng, static_cast<size_t>(rank * n)), y = Normal(&rng, static_cast<size_t>(n));
    std::vector<float> first_t, first_y;
    for (const NamedOps& named : AllOps()) {
      SCOPED_TRACE(named.name);
      std::vector<float> t(static_cast<size_t>(rank)), sum = y;
      named.ops->low_rank_down(a.data(), x.data(), rank, k, 0.75f, t.data());
      named.ops->low_rank_up(b.data(), t.data(), rank, n, sum.data());
      if (first_t.empty()) {
        first_t = t;
        first_y = sum;
      }
      EXPECT_EQ(std::memcmp(t.data(), first_t.data(), t.size() * sizeof(float)), 0);
      EXPECT_EQ(std::memcmp(sum.data(), first_y.data(), sum.size() * sizeof(float)), 0);
    }
    std::vector<double> exact(static_cast<size_t>(rank));
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t i = 0; i < k; ++i) exact[r] += 0.75 * double{a[r * k + i]} * x[i];
      EXPECT_NEAR(first_t[r], exact[r], 1e-5 * std::sqrt(static_cast<double>(k)));
    }
    for (int64_t i = 0; i < n; ++i) {
      double want = y[i];
      for (int64_t r = 0; r < rank; ++r) want += exact[r] * b[r * n + i];
      EXPECT_NEAR(first_y[i], want, 1e-4 * std::sqrt(static_cast<double>(rank)) + 1e-5 * std::abs(want));
    }
  }
}

// Three parts of different ranks into their own columns, one with a bias, one column range left alone.
TEST(LowRank, PartsBiasAndMixedRows) {
  constexpr int64_t kK = 40, kWidth = 150, kRows = 37;
  std::mt19937 rng(2);
  const auto make = [&](int64_t count) { return Normal(&rng, static_cast<size_t>(count)); };
  const auto a0 = make(2 * kK), b0 = make(50 * 2), a1 = make(5 * kK), b1 = make(70 * 5), bias1 = make(70);
  const auto a2 = make(1 * kK), b2 = make(150 * 1);
  const LowRankPart both[] = {{a0, b0, {}, 2, 50, 0, 0.5f}, {a1, b1, bias1, 5, 70, 80, 2.0f}};
  const LowRankPart other[] = {{a2, b2, {}, 1, 150, 0, -1.0f}};
  const auto x = make(kRows * kK), y = make(kRows * kWidth);
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    const CpuBackend backend(isa, false);
    const auto first = backend.PrepareLowRank(both, kK), second = backend.PrepareLowRank(other, kK);
    std::vector<int32_t> rows_first, rows_second;
    for (int32_t r = 0; r < kRows; ++r) {
      if (r % 3 == 0) rows_first.push_back(r);
      if (r % 3 == 1) rows_second.push_back(r);
    }
    ScratchArena scratch;
    ComputePool pool(ComputePool::Options{.num_threads = 3, .pin_threads = false});
    const auto client = pool.Register("test");
    std::vector<float> together = y;
    {
      ComputePool::Lease lease = pool.Acquire(client);
      ExecContext context{&lease, &scratch};
      const LowRankRows groups[] = {{first.get(), rows_first}, {second.get(), rows_second}};
      backend.AddLowRank(context, groups, x.data(), kK, together.data(), kWidth);
    }
    pool.Unregister(client);
    InlineParallel alone;
    ExecContext context{&alone, &scratch};
    for (int32_t r = 0; r < kRows; ++r) {
      std::vector<float> row(y.begin() + r * kWidth, y.begin() + (r + 1) * kWidth);
      const int32_t zero = 0;
      const LowRankRows group{r % 3 == 0 ? first.get() : second.get(), {&zero, 1}};
      if (r % 3 != 2) backend.AddLowRank(context, {&group, 1}, x.data() + r * kK, kK, row.data(), kWidth);
      EXPECT_EQ(std::memcmp(row.data(), together.data() + r * kWidth, kWidth * sizeof(float)), 0) << "row " << r;
    }
    double t1[5] = {};
    for (int r = 0; r < 5; ++r) {
      for (int64_t i = 0; i < kK; ++i) t1[r] += double{a1[r * kK + i]} * x[i];
    }
    for (int64_t i = 0; i < 70; ++i) {
      double want = bias1[i];
      for (int r = 0; r < 5; ++r) want += t1[r] * b1[i * 5 + r];
      EXPECT_NEAR(together[80 + i], y[80 + i] + 2 * want, 1e-3);
    }
    for (int64_t i = 50; i < 80; ++i) EXPECT_EQ(together[i], y[i]);
  }
}

}  // namespace
}  // namespace bitrate::ops_test
