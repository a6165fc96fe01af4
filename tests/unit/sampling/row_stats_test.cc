#include "engine/sampling/row_stats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace bitrate {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> RandomRow(size_t size, uint32_t seed, float spread = 4) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row(size);
  for (float& x : row) x = normal(random);
  return row;
}

// float64 all the way: the scalar reference.
double ReferenceLogSumExp(const std::vector<float>& row) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x) - top);
  return top + std::log(sum);
}

std::vector<float> Maxima(const std::vector<float>& row) {
  std::vector<float> maxima;
  EXPECT_TRUE(ChunkMaxima(row, maxima));
  return maxima;
}

TEST(RowStats, ArgMaxTakesTheLowestOfEqualIds) {
  for (const size_t size : {1u, 5u, 16u, 1023u, 1024u, 1025u, 5000u}) {
    std::vector<float> row(size, -1.0f);
    for (const size_t first : {size_t{0}, size / 2, size - 1}) {
      row.assign(size, -1.0f);
      for (size_t i = first; i < size; i += 7) row[i] = 3.0f;
      EXPECT_EQ(ArgMax(row, Maxima(row)), static_cast<int32_t>(first)) << size;
    }
  }
}

TEST(RowStats, ArgMaxSeesNegativeAndSignedZero) {
  const std::vector<float> row = {-5.0f, -0.0f, 0.0f, -3.0f};  // -0 == 0: a tie
  EXPECT_EQ(ArgMax(row, Maxima(row)), 1);
}

TEST(RowStats, FindsNanAnywhere) {
  for (const size_t size : {1u, 15u, 17u, 1024u, 3000u}) {
    for (const size_t at : {size_t{0}, size / 2, size - 1}) {
      std::vector<float> row(size, 1.0f);
      std::vector<float> maxima;
      EXPECT_TRUE(ChunkMaxima(row, maxima));
      row[at] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_FALSE(ChunkMaxima(row, maxima)) << size << " " << at;
    }
  }
}

TEST(RowStats, ExpMatchesTheLibraryWithinTwoUlp) {
  std::vector<float> x;
  for (float v = 0; v > -86.5f; v -= 0.0137f) x.push_back(v);
  std::vector<float> e(x.size());
  for (size_t i = 0; i < x.size(); i += kVocabChunk) {
    ExpSum(&x[i], std::min<int64_t>(kVocabChunk, static_cast<int64_t>(x.size() - i)), 0, &e[i]);
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double wanted = std::exp(static_cast<double>(x[i]));
    EXPECT_NEAR(e[i] / wanted, 1.0, 2.4e-7) << x[i];
  }
}

TEST(RowStats, ExpOfMinusInfinityIsZero) {
  const std::vector<float> x = {0.0f, -kInf, -1000.0f, -1.0f};
  std::vector<float> e(4);
  const double sum = ExpSum(x.data(), 4, 0, e.data());
  EXPECT_EQ(e[0], 1.0f);
  EXPECT_EQ(e[1], 0.0f);
  EXPECT_EQ(e[2], 0.0f);
  EXPECT_NEAR(sum, 1 + std::exp(-1.0), 1e-7);
}

TEST(RowStats, LogSumExpMatchesFloat64) {
  for (const size_t size : {1u, 3u, 512u, 1025u, 49152u}) {
    for (const float spread : {0.1f, 4.0f, 30.0f}) {
      const std::vector<float> row = RandomRow(size, static_cast<uint32_t>(size), spread);
      const double wanted = ReferenceLogSumExp(row);
      EXPECT_NEAR(ComputeLogNormalizer(row, Maxima(row)).log_sum_exp, wanted, 2e-6 * (1 + std::abs(wanted)));
    }
  }
}

TEST(RowStats, MaskedChunkHasNoWeight) {
  std::vector<float> row(3000, -kInf);
  row[2500] = 1.0f;
  row[2501] = 1.0f;
  EXPECT_NEAR(ComputeLogNormalizer(row, Maxima(row)).LogProb(1.0f), std::log(0.5), 1e-6);
}

TEST(RowStats, InfiniteLogitsShareTheProbability) {
  std::vector<float> row(2000, 0.0f);
  row[3] = row[1999] = kInf;
  const LogNormalizer normalizer = ComputeLogNormalizer(row, Maxima(row));
  EXPECT_NEAR(normalizer.LogProb(kInf), std::log(0.5), 1e-6);
  EXPECT_EQ(normalizer.LogProb(0.0f), -kInf);
}

TEST(RowStats, TopNAndRankMatchASort) {
  std::vector<float> row = RandomRow(4000, 3, 1);
  for (float& x : row) x = std::round(x * 8);  // many ties
  std::vector<ScoredId> sorted;
  for (size_t i = 0; i < row.size(); ++i) sorted.push_back({row[i], static_cast<int32_t>(i)});
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.logit > b.logit; });
  const std::vector<ScoredId> top = TopN(row, Maxima(row), 20);
  ASSERT_EQ(top.size(), 20u);
  for (size_t i = 0; i < top.size(); ++i) EXPECT_EQ(top[i].id, sorted[i].id) << i;
  for (size_t i = 0; i < sorted.size(); i += 37) EXPECT_EQ(RankOf(row, sorted[i].id), static_cast<int>(i) + 1);
}

TEST(RowStats, TopNIsLimitedByTheRow) {
  const std::vector<float> row = {1.0f, 2.0f};
  EXPECT_EQ(TopN(row, Maxima(row), 20).size(), 2u);
  EXPECT_TRUE(TopN(row, Maxima(row), 0).empty());
}

}  // namespace
}  // namespace bitrate
