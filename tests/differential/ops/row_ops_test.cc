// Row operators against f64, and the same bits on every ISA.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "engine/base/half.h"
#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

const int kWidths[] = {1, 2, 15, 16, 17, 63, 64, 65, 100, 576, 1000, 4096};

void ExpectBits(const std::vector<float>& want, const std::vector<float>& got, const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(want[i]), std::bit_cast<uint32_t>(got[i]))
        << what << " element " << i << ": " << want[i] << " vs " << got[i];
  }
}

double Ulps(double want, float got) {
  const float near = static_cast<float>(want);
  const double ulp = std::max(std::ldexp(1.0, std::ilogb(near == 0 ? 1e-38f : near) - 23), std::ldexp(1.0, -149));
  return std::fabs(want - got) / ulp;
}

std::vector<float> Specials() {
  const float inf = std::numeric_limits<float>::infinity();
  return {0.0f,    -0.0f,   1e-45f,  -1e-45f,  1e-30f, 0.5f,   -0.5f,  0.624f, 0.625f,
          -0.626f, 1.0f,    -1.0f,   87.0f,    88.7f,  88.8f,  200.0f, -87.0f, -87.4f,
          -95.0f,  -103.9f, -104.5f, -1000.0f, 3e38f,  -3e38f, inf,    -inf,   std::numeric_limits<float>::quiet_NaN()};
}

TEST(RowOps, ExpIsWithinTwoUlp) {
  double worst = 0;
  for (int block = 0; block < 64; ++block) {
    std::vector<float> x(16384), y(x.size());
    for (size_t i = 0; i < x.size(); ++i) x[i] = -87.0f + 175.0f * (block * x.size() + i) / (64.0f * x.size());
    AllOps().back().ops->exp(x.data(), static_cast<int64_t>(x.size()), y.data());
    for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, Ulps(std::exp(double{x[i]}), y[i]));
  }
  EXPECT_LT(worst, 1.1);
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x{0.0f, -0.0f, inf, -inf, 89.0f, -150.0f, -100.0f}, y(x.size());
  for (const NamedOps& named : AllOps()) {
    named.ops->exp(x.data(), static_cast<int64_t>(x.size()), y.data());
    EXPECT_EQ(y[0], 1.0f);
    EXPECT_EQ(y[1], 1.0f);
    EXPECT_EQ(y[2], inf);
    EXPECT_EQ(y[3], 0.0f);
    EXPECT_EQ(y[4], inf);
    EXPECT_EQ(y[5], 0.0f);
    EXPECT_NEAR(y[6], std::exp(-100.0), 1e-44);  // subnormal
  }
}

TEST(RowOps, TanhIsWithinFourUlp) {
  double worst = 0;
  std::vector<float> x(200000), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = -12.0f + 24.0f * i / x.size();
  AllOps().back().ops->tanh(x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, Ulps(std::tanh(double{x[i]}), y[i]));
  EXPECT_LT(worst, 4.0);
}

TEST(RowOps, ExpAndTanhHaveTheSameBits) {
  std::mt19937 rng(1);
  std::vector<float> x = Specials();
  for (const float scale : {0.1f, 1.0f, 30.0f, 100.0f}) {
    const std::vector<float> more = Normal(&rng, 1001, scale);
    x.insert(x.end(), more.begin(), more.end());
  }
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<float> want(n), got(n);
  for (const NamedOps& named : AllOps()) {
    ScalarVecOps().exp(x.data(), n, want.data());
    named.ops->exp(x.data(), n, got.data());
    ExpectBits(want, got, named.name + " exp");
    ScalarVecOps().tanh(x.data(), n, want.data());
    named.ops->tanh(x.data(), n, got.data());
    ExpectBits(want, got, named.name + " tanh");
  }
}

TEST(RowOps, RmsNormAgreesWithF64AndItself) {
  std::mt19937 rng(2);
  for (const int width : kWidths) {
    const std::vector<float> x = Normal(&rng, width, 3.0f), weight = Normal(&rng, width), delta = Normal(&rng, width);
    std::vector<float> first_norm, first_sum;
    for (const NamedOps& named : AllOps()) {
      std::vector<float> y(width), sum = x, z(width);
      named.ops->rms_norm(x.data(), weight.data(), 1e-5f, width, y.data());
      named.ops->add_rms_norm(sum.data(), delta.data(), weight.data(), 1e-5f, width, z.data());
      double squares = 0;
      for (const float v : x) squares += double{v} * v;
      for (int i = 0; i < width; ++i) {
        const double want = x[i] / std::sqrt(squares / width + 1e-5f) * weight[i];
        ASSERT_NEAR(y[i], want, 4e-7 * std::fabs(want) + 1e-37) << named.name << " width " << width;
        ASSERT_EQ(sum[i], x[i] + delta[i]);
      }
      // Adding first and normalising in place is the same thing.
      std::vector<float> in_place = sum;
      named.ops->rms_norm(in_place.data(), weight.data(), 1e-5f, width, in_place.data());
      ExpectBits(z, in_place, named.name + " in place");
      if (first_norm.empty()) first_norm = y, first_sum = z;
      ExpectBits(first_norm, y, named.name + " norm");
      ExpectBits(first_sum, z, named.name + " add norm");
    }
  }
}

TEST(RowOps, SiluMulAgreesWithF64AndItself) {
  std::mt19937 rng(3);
  for (const int width : kWidths) {
    std::vector<float> gate = Normal(&rng, width, 4.0f);
    const std::vector<float> up = Normal(&rng, width), special = Specials();
    if (width > 500) std::copy(special.begin(), special.end(), gate.begin() + 100);
    std::vector<float> first;
    for (const NamedOps& named : AllOps()) {
      std::vector<float> y(width);
      named.ops->silu_mul(gate.data(), up.data(), width, y.data());
      for (int i = 0; i < width; ++i) {
        if (!(std::fabs(gate[i]) < 80)) continue;
        const double want = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
        ASSERT_NEAR(y[i], want, 6e-7 * std::fabs(want) + 1e-40) << named.name << " gate " << gate[i];
      }
      if (first.empty()) first = y;
      ExpectBits(first, y, named.name);
    }
  }
}

TEST(RowOps, GeluTanhMulAgreesWithF64AndItself) {
  std::mt19937 rng(5);
  for (const int width : kWidths) {
    std::vector<float> gate = Normal(&rng, width, 3.0f);
    const std::vector<float> up = Normal(&rng, width), special = Specials();
    if (width > 500) std::copy(special.begin(), special.end(), gate.begin() + 100);
    std::vector<float> first;
    for (const NamedOps& named : AllOps()) {
      std::vector<float> y(width);
      named.ops->gelu_tanh_mul(gate.data(), up.data(), width, y.data());
      for (int i = 0; i < width; ++i) {
        if (!(std::fabs(gate[i]) < 80)) continue;
        const double g = gate[i], inner = std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
        const double want = 0.5 * g * (1 + std::tanh(inner)) * up[i];
        // 1 + tanh cancels for negative gates: the error is one of the gate's size, not of the result's.
        ASSERT_NEAR(y[i], want, 4e-7 * std::fabs(g * up[i]) + 1e-40) << named.name << " gate " << gate[i];
      }
      if (first.empty()) first = y;
      ExpectBits(first, y, named.name);
    }
  }
}

TEST(RowOps, ScaleIsExactAndSoftcapAgreesWithF64) {
  std::mt19937 rng(6);
  for (const int width : kWidths) {
    const std::vector<float> x = Normal(&rng, width, 20.0f);
    std::vector<float> first;
    for (const NamedOps& named : AllOps()) {
      std::vector<float> scaled = x, capped = x;
      named.ops->scale(0.3f, width, scaled.data());
      named.ops->softcap(30.0f, width, capped.data());
      for (int i = 0; i < width; ++i) {
        ASSERT_EQ(scaled[i], 0.3f * x[i]) << named.name;
        const double want = 30.0 * std::tanh(double{x[i]} / 30.0);
        ASSERT_NEAR(capped[i], want, 6e-7 * std::fabs(want) + 1e-40) << named.name << " x " << x[i];
      }
      if (first.empty()) first = capped;
      ExpectBits(first, capped, named.name);
    }
  }
}

TEST(RowOps, AddIsExact) {
  std::mt19937 rng(4);
  for (const int width : kWidths) {
    const std::vector<float> x = Normal(&rng, width), delta = Normal(&rng, width);
    for (const NamedOps& named : AllOps()) {
      std::vector<float> y = x;
      named.ops->add(y.data(), delta.data(), width);
      for (int i = 0; i < width; ++i) ASSERT_EQ(y[i], x[i] + delta[i]) << named.name;
    }
  }
}

TEST(RowOps, RopeAgreesWithF64AndItself) {
  std::mt19937 rng(5);
  for (const int rotary : {2, 8, 20, 32, 64, 72, 128}) {
    const Rope rope = MakeRope(3000, rotary);
    const int half = rotary / 2;
    const std::vector<float> x = Normal(&rng, rotary);
    for (const int position : {0, 1, 77, 2999}) {
      std::vector<float> first;
      for (const NamedOps& named : AllOps()) {
        std::vector<float> y = x;
        named.ops->rope(y.data(), rope.cos.data() + position * half, rope.sin.data() + position * half, half);
        for (int i = 0; i < half; ++i) {
          const double angle = position * std::pow(10000.0, -2.0 * i / rotary);
          ASSERT_NEAR(y[i], x[i] * std::cos(angle) - x[half + i] * std::sin(angle), 1e-6) << named.name;
          ASSERT_NEAR(y[half + i], x[half + i] * std::cos(angle) + x[i] * std::sin(angle), 1e-6) << named.name;
        }
        if (first.empty()) first = y;
        ExpectBits(first, y, named.name);
      }
    }
  }
}

TEST(RowOps, HalfConversionsEqualTheStorageTypes) {
  std::vector<float> x = Specials();
  for (uint32_t i = 0; i < 65536; ++i) {
    const float bf16 = ToFloat(Bf16{static_cast<uint16_t>(i)}), fp16 = ToFloat(Fp16{static_cast<uint16_t>(i)});
    for (const float v : {bf16, fp16}) {  // the values, their midpoints to the next and beside them
      const uint32_t bits = std::bit_cast<uint32_t>(v);
      for (const uint32_t more : {0u, 0x1000u, 0x0fffu, 0x1001u, 0x8000u, 0x7fffu, 0x8001u}) {
        if ((i & 7) == 0 || more == 0) x.push_back(std::bit_cast<float>(bits + more));
      }
    }
  }
  const int64_t n = static_cast<int64_t>(x.size());
  for (const NamedOps& named : AllOps()) {
    std::vector<uint16_t> bf16(n), fp16(n);
    std::vector<float> back(n);
    named.ops->to_bf16(x.data(), n, bf16.data());
    named.ops->to_fp16(x.data(), n, fp16.data());
    named.ops->from_bf16(bf16.data(), n, back.data());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(bf16[i], ToBf16(x[i]).bits) << named.name << " " << x[i];
      ASSERT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(ToFloat(Bf16{bf16[i]}))) << named.name;
    }
    named.ops->from_fp16(fp16.data(), n, back.data());
    for (int64_t i = 0; i < n; ++i) {
      if (std::isnan(x[i])) {  // a NaN stays one; its payload is not promised
        ASSERT_TRUE(std::isnan(back[i])) << named.name;
        continue;
      }
      ASSERT_EQ(fp16[i], ToFp16(x[i]).bits) << named.name << " " << x[i];
      ASSERT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(ToFloat(Fp16{fp16[i]}))) << named.name;
    }
  }
}

TEST(RowOps, StoresStopAtTheEnd) {
  std::mt19937 rng(6);
  const std::vector<float> x = Normal(&rng, 40);
  for (const NamedOps& named : AllOps()) {
    for (int n = 0; n <= 33; ++n) {
      std::vector<float> y(40, -7.0f);
      std::vector<uint16_t> h(40, 0x1234);
      named.ops->exp(x.data(), n, y.data());
      named.ops->to_bf16(x.data(), n, h.data());
      for (int i = n; i < 40; ++i) ASSERT_TRUE(y[i] == -7.0f && h[i] == 0x1234) << named.name << " " << n;
      named.ops->to_fp16(x.data(), n, h.data());
      for (int i = n; i < 40; ++i) ASSERT_EQ(h[i], 0x1234) << named.name << " " << n;
    }
  }
}

}  // namespace
}  // namespace bitrate::ops_test
