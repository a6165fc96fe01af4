// fp16 against the conversion instructions of the CPU (every fp16 value; floats at, beside and between them, and a walk
// over all floats); bf16 against rounding in f64.
#include "engine/base/half.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>

#include "engine/base/cpu_features.h"

namespace bitrate {
namespace {

class Fp16Test : public testing::Test {
 protected:
  void SetUp() override {
    if (DetectIsa() < Isa::kAvx2) GTEST_SKIP() << "this CPU has no F16C to compare with";
  }
};

void ExpectFp16(uint32_t bits) {
  const float f = std::bit_cast<float>(bits);
  const uint16_t got = ToFp16(f).bits;
  if (std::isnan(f)) {
    ASSERT_GT(got & 0x7fff, 0x7c00) << std::hex << bits;
    return;
  }
  ASSERT_EQ(got, _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT)) << std::hex << bits;
}

TEST_F(Fp16Test, EveryValueToFloat) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const Fp16 half{static_cast<uint16_t>(i)};
    const float want = _cvtsh_ss(half.bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(ToFloat(half))) << i;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(ToFloat(half)), std::bit_cast<uint32_t>(want)) << i;
    ASSERT_EQ(ToFp16(want).bits, half.bits) << i;
  }
}

TEST_F(Fp16Test, FloatsAroundEveryValue) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(_cvtsh_ss(static_cast<uint16_t>(i)));
    for (const uint32_t step : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x1fffu}) {
      ExpectFp16(bits + step);
      ExpectFp16(bits - step);
    }
  }
  for (int exponent = -30; exponent <= -14; ++exponent) {  // ties between subnormals
    for (int i = 0; i < 4096; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(std::ldexp(static_cast<float>(2 * i + 1), exponent));
      for (const int step : {-1, 0, 1}) ExpectFp16(bits + step);
    }
  }
}

TEST_F(Fp16Test, AWalkOverAllFloats) {
  for (uint64_t bits = 0; bits <= 0xffffffffu; bits += 1021) ExpectFp16(static_cast<uint32_t>(bits));
}

TEST(Fp16, KnownValues) {
  EXPECT_EQ(ToFp16(1.0f).bits, 0x3c00);
  EXPECT_EQ(ToFp16(-2.0f).bits, 0xc000);
  EXPECT_EQ(ToFp16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(ToFp16(65519.996f).bits, 0x7bff);
  EXPECT_EQ(ToFp16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(ToFp16(std::ldexp(1.0f, -24)).bits, 0x0001);
  EXPECT_EQ(ToFp16(std::ldexp(1.0f, -25)).bits, 0x0000);  // tie to even
  EXPECT_EQ(ToFp16(-0.0f).bits, 0x8000);
}

TEST(Bf16, RoundsToNearestEven) {
  for (uint64_t u = 0; u <= 0xffffffffu; u += 1009) {
    const uint32_t bits = static_cast<uint32_t>(u);
    const float f = std::bit_cast<float>(bits);
    const uint16_t got = ToBf16(f).bits;
    if (std::isnan(f)) {
      ASSERT_TRUE(std::isnan(ToFloat(Bf16{got})));
      continue;
    }
    // The two neighbours; past the largest, infinity stands at 2^128.
    const uint16_t low = static_cast<uint16_t>(bits >> 16), high = static_cast<uint16_t>(low + 1);
    const auto value = [](uint16_t h) {
      return (h & 0x7fff) == 0x7f80 ? std::ldexp((h & 0x8000) != 0 ? -1.0 : 1.0, 128) : double{ToFloat(Bf16{h})};
    };
    const double at = std::isinf(f) ? value(low) : double{f};
    const double to_low = std::fabs(at - value(low));
    const double to_high = (low & 0x7fff) == 0x7f80 ? 1e300 : std::fabs(value(high) - at);
    const uint16_t want = to_low < to_high ? low : to_high < to_low ? high : (low & 1) != 0 ? high : low;
    ASSERT_EQ(got, want) << std::hex << bits;
  }
}

TEST(Bf16, EveryValueSurvives) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const Bf16 v{static_cast<uint16_t>(i)};
    const float f = ToFloat(v);
    if (!std::isnan(f)) {
      ASSERT_EQ(ToBf16(f).bits, v.bits);
      ASSERT_EQ(std::bit_cast<uint32_t>(f), i << 16);
    }
  }
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x7f800001u)).bits, 0x7fc0);  // NaN whose payload would be cut off
}

}  // namespace
}  // namespace bitrate
