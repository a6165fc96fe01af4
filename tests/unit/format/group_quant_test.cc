// The encoders against a second implementation of the rule in group_quant.h: doubles, nearbyint, one weight at a time.
#include "engine/format/group_quant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/base/half.h"

namespace bitrate {
namespace {

float RoundToFp16(float v) { return ToFloat(ToFp16(v)); }
int ClampCode(double q, int low, int high) { return static_cast<int>(std::clamp<double>(q, low, high)); }

struct SlowGroup {
  float scale = 0, min = 0;
  int zero = 0;
  std::vector<int> codes;
};

SlowGroup Slow(std::span<const float> w, Int4Offset offset) {
  SlowGroup g;
  float low = w[0], high = w[0], largest = 0;
  for (float v : w) {
    low = std::min(low, v);
    high = std::max(high, v);
    largest = std::max(largest, std::fabs(v));
  }
  if (offset == Int4Offset::kSymmetric) {
    g.scale = RoundToFp16(largest / 8.0f);
    for (float v : w) {
      g.codes.push_back(g.scale == 0 ? 8 : ClampCode(std::nearbyint(v / g.scale) + 8, 0, 15));
    }
  } else if (offset == Int4Offset::kZero) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
    g.scale = RoundToFp16((high - low) / 15.0f);
    g.zero = g.scale == 0 ? 0 : ClampCode(std::nearbyint(-low / g.scale), 0, 15);
    for (float v : w) {
      g.codes.push_back(g.scale == 0 ? g.zero : ClampCode(std::nearbyint(v / g.scale) + g.zero, 0, 15));
    }
  } else {
    g.scale = RoundToFp16((high - low) / 15.0f);
    g.min = RoundToFp16(low);
    for (float v : w) {
      g.codes.push_back(g.scale == 0 ? 0 : ClampCode(std::nearbyint((v - g.min) / g.scale), 0, 15));
    }
  }
  return g;
}

std::vector<float> RandomRows(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.01f, 0.05f);
  std::vector<float> rows(static_cast<size_t>(count));
  for (float& v : rows) v = normal(random);
  return rows;
}

void CheckInt4(const std::vector<float>& rows, int64_t n, int64_t k, int64_t group, Int4Offset offset) {
  const Int4Matrix got = QuantizeInt4(rows, n, k, group, offset);
  EXPECT_TRUE(got.fp16_exact);
  ASSERT_EQ(got.zero.size(), offset == Int4Offset::kZero ? got.scale.size() : 0u);
  ASSERT_EQ(got.min.size(), offset == Int4Offset::kMin ? got.scale.size() : 0u);
  std::vector<float> out(rows.size());
  Dequantize(got, out.data());
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t g = 0; g < got.num_groups(); ++g) {
      const size_t begin = static_cast<size_t>(row * k + g * group);
      const size_t count = static_cast<size_t>(std::min(group, k - g * group));
      const SlowGroup want = Slow(std::span(rows).subspan(begin, count), offset);
      const size_t index = static_cast<size_t>(row * got.num_groups() + g);
      ASSERT_EQ(got.scale[index], want.scale) << "row " << row << " group " << g;
      if (offset == Int4Offset::kZero) {
        ASSERT_EQ(got.zero[index], want.zero);
      }
      if (offset == Int4Offset::kMin) {
        ASSERT_EQ(got.min[index], want.min);
      }
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(got.codes[begin + i], want.codes[i]) << "row " << row << " column " << begin + i;
        const int offset_code = offset == Int4Offset::kSymmetric ? 8 : want.zero;
        ASSERT_EQ(out[begin + i], want.scale * static_cast<float>(want.codes[i] - offset_code) + want.min);
      }
    }
  }
}

TEST(QuantizeInt4, MatchesTheSlowRule) {
  for (Int4Offset offset : {Int4Offset::kSymmetric, Int4Offset::kZero, Int4Offset::kMin}) {
    for (int64_t group : {32, 64, 128}) {
      for (int64_t k : {32, 100, 576, 7}) {  // 100, 7: a short group at the end
        CheckInt4(RandomRows(3 * k, static_cast<uint32_t>(group + k)), 3, k, group, offset);
      }
    }
  }
}

TEST(QuantizeInt4, HalvesGoToTheEvenCode) {
  // max 8 makes the scale exactly 1.
  const std::vector<float> row = {8.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -8.0f, 3.0f};
  const Int4Matrix got = QuantizeInt4(row, 1, 8, 8, Int4Offset::kSymmetric);
  EXPECT_EQ(got.scale[0], 1.0f);
  EXPECT_EQ(got.codes, (std::vector<uint8_t>{15, 8, 10, 10, 8, 6, 0, 11}));
}

TEST(QuantizeInt4, AllZeroAndConstantGroups) {
  for (Int4Offset offset : {Int4Offset::kSymmetric, Int4Offset::kZero, Int4Offset::kMin}) {
    const std::vector<float> zeros(64, 0.0f);
    std::vector<float> out(64, 1.0f);
    Dequantize(QuantizeInt4(zeros, 1, 64, 32, offset), out.data());
    EXPECT_EQ(out, zeros);
    CheckInt4(std::vector<float>(64, 0.25f), 1, 64, 32, offset);
    CheckInt4(std::vector<float>(64, -0.25f), 1, 64, 32, offset);
    CheckInt4(std::vector<float>(64, 1e-12f), 1, 64, 32, offset);  // the scale is zero in fp16
  }
}

TEST(QuantizeInt4, HugeWeightsClampToFp16) {
  const std::vector<float> row(32, 3e38f);
  for (Int4Offset offset : {Int4Offset::kSymmetric, Int4Offset::kZero, Int4Offset::kMin}) {
    const Int4Matrix got = QuantizeInt4(row, 1, 32, 32, offset);
    EXPECT_TRUE(std::isfinite(got.scale[0]));
    for (uint8_t code : got.codes) EXPECT_LE(code, 15);
  }
}

TEST(Quantize, DamagedWeightsStayVisible) {
  for (float bad : {INFINITY, -INFINITY, NAN, -NAN}) {
    std::vector<float> row(64, 0.5f);
    row[40] = bad;
    std::vector<float> out(64);
    for (Int4Offset offset : {Int4Offset::kSymmetric, Int4Offset::kZero, Int4Offset::kMin}) {
      Dequantize(QuantizeInt4(row, 1, 64, 32, offset), out.data());
      EXPECT_TRUE(std::isfinite(out[31]));
      EXPECT_TRUE(std::isnan(out[32])) << bad;
    }
    Dequantize(QuantizeInt8(row, 1, 64, 32), out.data());
    EXPECT_EQ(out[31], 0.5f / 127.0f * 127.0f);
    EXPECT_TRUE(std::isnan(out[32])) << bad;
  }
}

TEST(QuantizeInt8, MatchesTheSlowRule) {
  for (int64_t k : {1, 31, 64, 576}) {
    for (int64_t group : {k, int64_t{64}}) {
      const std::vector<float> rows = RandomRows(4 * k, static_cast<uint32_t>(k));
      const Int8Matrix got = QuantizeInt8(rows, 4, k, group);
      const int64_t groups = (k + group - 1) / group;
      for (int64_t row = 0; row < 4; ++row) {
        for (int64_t i = 0; i < k; ++i) {
          const int64_t begin = i / group * group, end = std::min(begin + group, k);
          float largest = 0;
          for (int64_t j = begin; j < end; ++j) {
            largest = std::max(largest, std::fabs(rows[static_cast<size_t>(row * k + j)]));
          }
          const float scale = largest / 127.0f;
          ASSERT_EQ(got.scale[static_cast<size_t>(row * groups + i / group)], scale);
          const double want = std::nearbyint(rows[static_cast<size_t>(row * k + i)] / scale);
          ASSERT_EQ(got.codes[static_cast<size_t>(row * k + i)], ClampCode(want, -127, 127));
        }
      }
    }
  }
}

TEST(QuantizeInt8, ZeroRowHasScaleOne) {
  const Int8Matrix got = QuantizeInt8(std::vector<float>(8, 0.0f), 2, 4, 4);
  EXPECT_EQ(got.scale, (std::vector<float>{1, 1}));
  EXPECT_EQ(got.codes, std::vector<int8_t>(8, 0));
}

}  // namespace
}  // namespace bitrate
