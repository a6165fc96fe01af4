// The int8 KV cache: what quantizing a token's keys or values gives, against its definition in f64, and where
// RopeAndStoreKv leaves codes and scales. Attention over them is in attention_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Quantized {
  float scale;
  std::vector<int8_t> codes;
};
Quantized Quantize(const VecOps& ops, const std::vector<float>& x) {
  Quantized result{0, std::vector<int8_t>(x.size() + 1, 77)};
  result.scale = ops.quantize_i8(x.data(), static_cast<int64_t>(x.size()), result.codes.data());
  EXPECT_EQ(result.codes.back(), 77) << "wrote past the end";
  result.codes.pop_back();
  return result;
}

TEST(QuantizeI8, EveryCodeIsTheNearest) {
  std::mt19937 rng(4);
  for (const NamedOps& named : AllOps()) {
    for (const size_t n : {size_t{1}, size_t{15}, size_t{16}, size_t{20}, size_t{64}, size_t{72}, size_t{128}}) {
      for (const float spread : {1e-12f, 1.0f, 3e4f, 1e30f}) {
        const std::vector<float> x = Normal(&rng, n, spread);
        float max = 0;
        for (const float v : x) max = std::max(max, std::fabs(v));
        const Quantized got = Quantize(*named.ops, x);
        ASSERT_EQ(got.scale, max / 127.0f) << named.name;
        for (size_t i = 0; i < n; ++i) {
          ASSERT_NEAR(double{x[i]} / got.scale, got.codes[i], 0.50001) << named.name << " n " << n;
          if (std::fabs(x[i]) == max) {
            ASSERT_EQ(got.codes[i], x[i] < 0 ? -127 : 127) << named.name;
          }
        }
      }
    }
  }
}

TEST(QuantizeI8, TiesGoToEven) {  // 127 makes the step 1
  const std::vector<float> x = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -126.5f};
  const std::vector<int8_t> want = {127, 0, 2, 2, 0, -2, -2, 126, -126};
  for (const NamedOps& named : AllOps()) {
    const Quantized got = Quantize(*named.ops, x);
    EXPECT_EQ(got.scale, 1.0f) << named.name;
    EXPECT_EQ(got.codes, want) << named.name;
  }
}

TEST(QuantizeI8, ZeroTinyAndPoisonedRows) {
  for (const NamedOps& named : AllOps()) {
    for (const float value : {0.0f, -0.0f, 1e-31f, 1e-40f}) {
      const Quantized got = Quantize(*named.ops, std::vector<float>(20, value));
      EXPECT_EQ(got.scale, 0.0f) << named.name;
      EXPECT_EQ(got.codes, std::vector<int8_t>(20, 0)) << named.name;
    }
    // A NaN or an infinity must not turn into numbers that look sane: the token's scores become NaN and are seen.
    for (const float value : {std::nanf(""), kInfinity, -kInfinity}) {
      for (const size_t at : {size_t{0}, size_t{7}, size_t{19}}) {
        std::vector<float> x(20, 1.0f);
        x[at] = value;
        EXPECT_TRUE(std::isnan(Quantize(*named.ops, x).scale)) << named.name << " " << value << " at " << at;
      }
    }
  }
}

TEST(Int8Kv, CodesAndScalesLieInTheirSlots) {
  AttentionSetup setup = MakeSetup(DType::kI8, 6, 2, 40, 16);
  constexpr int kLength = 21, kHeads = 6 + 2 * 2, kDim = 40;
  const Rope rope = MakeRope(kLength, setup.rotary_dim);
  for (const NamedOps& named : AllOps()) {
    PagedCache cache(setup.geometry, 4, 9);
    std::mt19937 rng(3);
    Sequence sequence = MakeSequence(setup, kLength, &rng, &cache);
    InlineParallel parallel;
    RunStep(*named.ops, &parallel, setup, rope, 1, &cache, {&sequence}, {5});
    RunStep(*named.ops, &parallel, setup, rope, 1, &cache, {&sequence}, {kLength - 5});
    for (int t = 0; t < kLength; ++t) {
      for (int h = 0; h < 2; ++h) {
        for (const bool v : {false, true}) {
          const float* x = sequence.rotated.data() + (t * kHeads + (v ? 8 : 6) + h) * kDim;
          float max = 0;
          for (int d = 0; d < kDim; ++d) max = std::max(max, std::fabs(x[d]));
          for (int d = 0; d < kDim; ++d) {
            ASSERT_NEAR(cache.At(sequence.blocks[t / 16], 1, h, t % 16, d, v), x[d], max / 127 * 0.50001)
                << named.name << " token " << t << " head " << h << (v ? " value " : " key ") << d;
          }
        }
      }
    }
    for (int slot = 0; slot < 16; ++slot) {  // free slots and the other layer still have their scales of NaN
      ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[0], 0, 1, slot, 0, false)));
      ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[0], 0, 1, slot, 0, true)));
      if (slot < kLength - 16) continue;
      ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[1], 1, 0, slot, 0, false)));
      ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[1], 1, 1, slot, 0, true)));
    }
  }
}

TEST(Int8Kv, ABlockTakesACodeAValueAndAScaleATokenAndHead) {
  KvGeometry geometry;
  geometry.dtype = DType::kI8;
  geometry.num_layers = 30;
  geometry.num_kv_heads = 3;
  geometry.head_dim = 64;
  // 30 layers x 3 heads x 16 tokens x (64 + 64 codes and 2 f32 scales) = 195,840 bytes; 16-bit: 368,640.
  EXPECT_EQ(geometry.BlockBytes(), 195840u);
  EXPECT_EQ(geometry.VOffset(0, 1), 2176u + 1024u);
  EXPECT_EQ(geometry.KScaleOffset(0, 0), 2048u);
  EXPECT_EQ(geometry.VScaleOffset(0, 0), 2112u);
  geometry.dtype = DType::kF16;
  EXPECT_EQ(geometry.BlockBytes(), 368640u);
}

}  // namespace
}  // namespace bitrate::ops_test
