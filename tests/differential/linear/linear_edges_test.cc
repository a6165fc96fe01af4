// Codes at their extremes, activations that are not finite, and the quantization of activations: the same bits on every
// table.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/differential/linear/linear_fixture.h"

namespace bitrate::linear_test {
namespace {

WeightMatrix ConstantRows(int64_t n, int64_t k, float even, float odd) {
  auto data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(n * k) * 4);
  auto* values = reinterpret_cast<float*>(data->data());
  for (int64_t i = 0; i < n * k; ++i) values[i] = i / k % 2 == 0 ? even : odd;
  return {"constant", QuantFormatId::kF32, n, k, *data, data};
}

// All codes +-127 (or 0 and 15) against activations of +-127: no sum may saturate or wrap.
TEST(LinearEdgesTest, ExtremeCodesDoNotSaturate) {
  constexpr int64_t kN = 64, kK = 1600;
  const WeightMatrix matrix = ConstantRows(kN, kK, 127.0f, -127.0f);
  for (const char* name : {"int8", "int8-token", "int4-g32", "int4-g64-asym", "int4-g128", "int4-g128-min"}) {
    for (const Table& table : AllTables()) {
      const auto op = Prepare({name}, {&matrix, 1}, {}, *table.kernels);
      const std::vector<float> w = GatherAll(*op);
      for (float sign : {1.0f, -1.0f}) {
        const std::vector<float> x(static_cast<size_t>(9 * kK), 127.0f * sign);
        for (int64_t m : {1, 3, 9}) {
          const std::vector<float> y = RunOp(*op, x, m, 1);
          for (size_t i = 0; i < y.size(); ++i) {
            const double exact = 127.0 * sign * w[i % kN * kK] * kK;
            ASSERT_NEAR(y[i], exact, 1e-5 * std::abs(exact)) << name << " " << table.name << " M=" << m;
          }
        }
      }
    }
  }
}

TEST(LinearEdgesTest, DamagedActivationsSpoilTheirRowOnly) {
  constexpr int64_t kK = 200;
  const WeightMatrix matrix = RandomMatrix(QuantFormatId::kF32, 70, kK, 3);
  for (const char* name : {"fp32", "bf16", "fp16", "int8", "int8-token", "int8-w8a16", "int4", "int4-g64-min"}) {
    for (const Table& table : AllTables()) {
      const auto op = Prepare({name}, {&matrix, 1}, {}, *table.kernels);
      std::vector<float> x = RandomFloats(5 * kK, 4);
      const std::vector<float> clean = RunOp(*op, x, 5, 1);
      x[1 * kK + 77] = std::numeric_limits<float>::quiet_NaN();
      x[3 * kK + 5] = std::numeric_limits<float>::infinity();
      const std::vector<float> y = RunOp(*op, x, 5, 1);
      for (size_t i = 0; i < y.size(); ++i) {
        const size_t row = i / 70;
        if (row == 1 || row == 3) {
          EXPECT_FALSE(std::isfinite(y[i])) << name << " " << table.name << " row " << row;
        } else {
          EXPECT_EQ(y[i], clean[i]) << name << " " << table.name << " row " << row;
        }
      }
    }
  }
}

struct Quantized {
  std::vector<int8_t> s8;
  std::vector<int16_t> s16;
  std::vector<float> scale;
  std::vector<int32_t> sum;
};

Quantized Quantize(const linear::LinearKernels& kernels, const std::vector<float>& x, int64_t padded, int64_t group) {
  const int64_t k = static_cast<int64_t>(x.size());
  const size_t groups = static_cast<size_t>((k + group - 1) / group);
  Quantized q{std::vector<int8_t>(static_cast<size_t>(padded), 99),
              std::vector<int16_t>(static_cast<size_t>(padded), 99), std::vector<float>(groups),
              std::vector<int32_t>(groups)};
  kernels.quantize_s16(x.data(), k, padded, group, q.s16.data(), q.scale.data(), q.sum.data());
  kernels.quantize_s8(x.data(), k, padded, group, q.s8.data(), q.scale.data(), q.sum.data());
  return q;
}

TEST(LinearEdgesTest, QuantizedActivationsAreTheSameBitsOnEveryTable) {
  const float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  std::vector<float> special = RandomFloats(197, 5);
  for (size_t i = 0; i < 32; ++i) special[i] = 0.0f;
  for (size_t i = 32; i < 64; ++i) special[i] = std::ldexp(static_cast<float>(i) - 48.0f, -130);  // subnormal
  for (size_t i = 64; i < 96; ++i) special[i] = static_cast<float>(i) - 64.0f + 0.5f;             // ties
  special[95] = 127.0f;
  special[100] = kNan;
  special[130] = -kInf;
  special[165] = std::numeric_limits<float>::max();
  for (int64_t group : {int64_t{32}, int64_t{64}, int64_t{128}, int64_t{197}}) {
    const Quantized want = Quantize(linear::ScalarLinearKernels(), special, 256, group);
    for (const Table& table : AllTables()) {
      const Quantized got = Quantize(*table.kernels, special, 256, group);
      EXPECT_EQ(want.s8, got.s8) << table.name << " " << group;
      EXPECT_EQ(want.s16, got.s16) << table.name << " " << group;
      EXPECT_EQ(want.sum, got.sum) << table.name << " " << group;
      EXPECT_EQ(0, std::memcmp(want.scale.data(), got.scale.data(), want.scale.size() * sizeof(float)));
    }
  }
  const Quantized q = Quantize(linear::ScalarLinearKernels(), special, 256, 32);
  EXPECT_EQ(q.scale[0], 0.0f);
  EXPECT_EQ(q.scale[1], 0.0f);
  EXPECT_EQ(q.scale[2], 1.0f);
  EXPECT_EQ(q.s8[64], 0);  // 0.5 to even
  EXPECT_EQ(q.s8[65], 2);  // 1.5 to even
  EXPECT_EQ(q.s8[66], 2);  // 2.5 to even
  EXPECT_TRUE(std::isnan(q.scale[3]));
  EXPECT_TRUE(std::isnan(q.scale[4]));
  EXPECT_EQ(q.s8[165], 127);
  EXPECT_EQ(q.s8[200], 0);
}

TEST(LinearEdgesTest, PartsOfDifferentGridsEqualTheirOwnOperators) {
  constexpr int64_t kK = 512;
  const WeightMatrix parts[] = {
      RandomMatrix(QuantFormatId::kQ4_1, 70, kK, 1), RandomMatrix(QuantFormatId::kQ4_1, 33, kK, 2),
      RandomMatrix(QuantFormatId::kF32, 65, kK, 3), RandomMatrix(QuantFormatId::kQ4_K, 64, kK, 4)};
  const std::vector<float> bias = RandomFloats(70 + 33 + 65 + 64, 5), x = RandomFloats(3 * kK, 6);
  const Case c{"int4"};
  for (const Table& table : AllTables()) {
    const auto stacked = Prepare(c, parts, bias, *table.kernels);
    const std::vector<float> y = RunOp(*stacked, x, 3, 2), rows = GatherAll(*stacked);
    ASSERT_EQ(stacked->n(), 232);
    int64_t column = 0;
    for (const WeightMatrix& part : parts) {
      const auto own =
          Prepare(c, {&part, 1}, std::span(bias).subspan(static_cast<size_t>(column), static_cast<size_t>(part.n)),
                  *table.kernels);
      const std::vector<float> own_y = RunOp(*own, x, 3, 1), own_rows = GatherAll(*own);
      for (int64_t i = 0; i < 3; ++i) {
        for (int64_t j = 0; j < part.n; ++j) {
          ASSERT_EQ(y[static_cast<size_t>(i * 232 + column + j)], own_y[static_cast<size_t>(i * part.n + j)]);
        }
      }
      ASSERT_EQ(0, std::memcmp(rows.data() + column * kK, own_rows.data(), own_rows.size() * sizeof(float)));
      column += part.n;
    }
  }
}

}  // namespace
}  // namespace bitrate::linear_test
