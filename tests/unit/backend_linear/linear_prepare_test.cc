// What PrepareCpuLinear accepts, chooses and reports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/backend/cpu/linear.h"
#include "engine/backend/cpu/linear_select.h"
#include "tests/differential/linear/linear_fixture.h"

namespace bitrate {
namespace {

using linear_test::RandomMatrix;
using linear_test::TestContext;
using testing::Contains;
using testing::HasSubstr;

LinearInfo InfoOf(const char* precision, QuantFormatId source, bool is_head = false, Isa isa = DetectIsa(),
                  bool force_reference = false) {
  TestContext context(1);
  ExecContext exec = context.Get();
  const WeightMatrix matrix = RandomMatrix(source, 128, 512, 1);
  return (*PrepareCpuLinear({{&matrix, 1}, {}, *Precision::Parse(precision), is_head}, isa, force_reference, exec))
      ->info();
}

TEST(LinearPrepareTest, ResolvesTheScheme) {
  using enum QuantFormatId;
  const auto kernel = [](const char* precision, QuantFormatId source, bool is_head = false) {
    return InfoOf(precision, source, is_head, Isa::kScalar).kernel;
  };
  EXPECT_EQ(kernel("fp32", kQ4_0), "fp32/scalar");
  EXPECT_EQ(kernel("int8", kQ8_0), "int8-w8a8/scalar");
  EXPECT_EQ(kernel("int8-token", kF32), "int8-w8a8-token/scalar");
  EXPECT_EQ(kernel("int8-w8a16", kF32), "int8-w8a16/scalar");
  EXPECT_EQ(kernel("int4", kQ4_0), "int4-g32-w4a8/scalar");
  EXPECT_EQ(kernel("int4", kQ4_1), "int4-g32-min-w4a8/scalar");
  EXPECT_EQ(kernel("int4", kQ6_K), "int4-g64-w4a8/scalar");
  EXPECT_EQ(kernel("int4-g128-asym", kQ4_0), "int4-g128-asym-w4a8/scalar");
  EXPECT_EQ(kernel("int4-w4a16", kQ4_1), "int4-g32-min-w4a16/scalar");
  // Heads: 16-bit and up as the body, int8 otherwise; Q8_0 keeps its grid.
  EXPECT_EQ(kernel("bf16", kQ8_0, true), "bf16/scalar");
  EXPECT_EQ(kernel("int8", kF32, true), "int8-w8a8/scalar");
  EXPECT_EQ(kernel("int4", kQ4_1, true), "int8-w8a8/scalar");
  EXPECT_EQ(kernel("int4", kQ8_0, true), "int8-g32-w8a8/scalar");
  EXPECT_EQ(kernel("int8-token", kF32, true), "int8-w8a8/scalar");
  EXPECT_EQ(kernel("int4-w4a16", kQ8_0, true), "int8-g32-w8a16/scalar");
}

TEST(LinearPrepareTest, ReportsBitsAndBytes) {
  using enum QuantFormatId;
  EXPECT_EQ(InfoOf("fp32", kF32).weight_bits, 32);
  EXPECT_EQ(InfoOf("fp32", kF32).bytes, 128u * 512 * 4);
  EXPECT_EQ(InfoOf("int4", kQ4_0).weight_bits, 4.5);
  EXPECT_EQ(InfoOf("int4", kQ4_0).bytes, 128u * 512 * 9 / 16);
  EXPECT_EQ(InfoOf("int4", kQ4_1).weight_bits, 5);
  EXPECT_EQ(InfoOf("int4", kQ4_K).weight_bits, 6);  // f32 planes: d * sc does not fit fp16
  EXPECT_EQ(InfoOf("int4-g128-asym", kF32).weight_bits, 4 + 24.0 / 128);
  EXPECT_EQ(InfoOf("int4", kQ8_0, true).weight_bits, 8.5);
  EXPECT_EQ(InfoOf("int8", kF32).weight_bits, 8 + 32.0 / 512);
}

TEST(LinearPrepareTest, PackedPlanesAreAllThatRunReads) {
  using enum QuantFormatId;
  TestContext context(1);
  ExecContext exec = context.Get();
  const WeightMatrix q4_0 = RandomMatrix(kQ4_0, 192, 512, 1), q4_1 = RandomMatrix(kQ4_1, 128, 512, 2);
  const auto sizes = [&](const std::vector<WeightMatrix>& parts, const char* precision) {
    const std::vector<float> bias(static_cast<size_t>(parts.size() > 1 ? 320 : parts[0].n), 1.0f);
    const auto op = *PrepareCpuLinear({parts, bias, *Precision::Parse(precision), false}, DetectIsa(), false, exec);
    std::vector<std::pair<size_t, int64_t>> found;
    for (const PackedPlane& plane : op->PackedPlanes()) found.push_back({plane.bytes.size(), plane.num_parts});
    return found;
  };
  using Sizes = std::vector<std::pair<size_t, int64_t>>;
  EXPECT_EQ(sizes({q4_0}, "bf16"), (Sizes{{192 * 512 * 2, 3}}));
  // Codes, then one fp16 scale in 32.
  EXPECT_EQ(sizes({q4_0}, "int4"), (Sizes{{192 * 512 / 2, 3}, {192 * 512 / 32 * 2, 3}}));
  // Two schemes, part after part; Q4_1 has a minimum beside each scale.
  EXPECT_EQ(sizes({q4_0, q4_1}, "int4"), (Sizes{{192 * 512 / 2, 3},
                                                {192 * 512 / 32 * 2, 3},
                                                {128 * 512 / 2, 2},
                                                {128 * 512 / 32 * 2, 2},
                                                {128 * 512 / 32 * 2, 2}}));
}

TEST(LinearPrepareTest, NamesTheIsaAndTheRefusals) {
  const LinearInfo best = InfoOf("int4", QuantFormatId::kF32);
  EXPECT_EQ(best.isa, IsaName(DetectIsa()));
  const LinearInfo forced = InfoOf("int4", QuantFormatId::kF32, false, DetectIsa(), true);
  EXPECT_EQ(forced.isa, "scalar");
  EXPECT_THAT(forced.refusals, Contains(HasSubstr("reference is forced")));
  const LinearInfo scalar = InfoOf("int4", QuantFormatId::kF32, false, Isa::kScalar);
  EXPECT_EQ(scalar.isa, "scalar");
  EXPECT_THAT(scalar.refusals, Contains(HasSubstr("avx2: the selected ISA is scalar")));
}

class LinearErrorTest : public testing::Test {
 protected:
  Status PrepareStatus(std::span<const WeightMatrix> parts, std::span<const float> bias = {},
                       const char* precision = "fp32") {
    ExecContext exec = context_.Get();
    return PrepareCpuLinear({parts, bias, *Precision::Parse(precision), false}, Isa::kScalar, false, exec).status();
  }
  TestContext context_{1};
};

TEST_F(LinearErrorTest, PartsMustFit) {
  EXPECT_EQ(PrepareStatus({}).code(), StatusCode::kInvalidArgument);
  const WeightMatrix parts[] = {RandomMatrix(QuantFormatId::kF32, 8, 32, 1),
                                RandomMatrix(QuantFormatId::kF32, 8, 64, 2)};
  EXPECT_THAT(std::string(PrepareStatus(parts).message()), HasSubstr("K is 64"));
  const std::vector<float> bias(7);
  EXPECT_THAT(std::string(PrepareStatus({parts, 1}, bias).message()), HasSubstr("bias has 7 elements, want 8"));
  WeightMatrix cut = parts[0];
  cut.data = cut.data.first(cut.data.size() - 4);
  EXPECT_EQ(PrepareStatus({&cut, 1}).code(), StatusCode::kInvalidArgument);
  WeightMatrix blocks = RandomMatrix(QuantFormatId::kQ4_0, 8, 64, 3);
  blocks.k = 48;
  EXPECT_EQ(PrepareStatus({&blocks, 1}).code(), StatusCode::kInvalidArgument);
  WeightMatrix empty = parts[0];
  empty.n = 0;
  EXPECT_EQ(PrepareStatus({&empty, 1}).code(), StatusCode::kInvalidArgument);
}

TEST_F(LinearErrorTest, TokenScaleBoundsK) {
  // 133144 * 127 * 127 < 2^31 <= 133145 * 127 * 127.
  const WeightMatrix most = RandomMatrix(QuantFormatId::kF32, 1, 133144, 1);
  EXPECT_TRUE(PrepareStatus({&most, 1}, {}, "int8-token").ok());
  const WeightMatrix over = RandomMatrix(QuantFormatId::kF32, 1, 133145, 1);
  EXPECT_EQ(PrepareStatus({&over, 1}, {}, "int8-token").code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(PrepareStatus({&over, 1}, {}, "int8").ok());
}

TEST(LinearKeyTest, EqualSpecsShareAKey) {
  const WeightMatrix a = RandomMatrix(QuantFormatId::kF32, 8, 32, 1), b = RandomMatrix(QuantFormatId::kF32, 8, 32, 1);
  const std::vector<float> bias(8, 1.0f), same_bias(8, 1.0f), other_bias(8, 2.0f);
  const auto key = [](const WeightMatrix& matrix, std::span<const float> bias, const char* precision, bool head = false,
                      Isa isa = Isa::kAvx2, bool reference = false) {
    return CpuLinearKey({{&matrix, 1}, bias, *Precision::Parse(precision), head}, isa, reference);
  };
  const std::string base = key(a, bias, "int4");
  EXPECT_EQ(base, key(a, same_bias, "int4"));
  EXPECT_NE(base, key(b, bias, "int4"));  // other memory
  EXPECT_NE(base, key(a, other_bias, "int4"));
  EXPECT_NE(base, key(a, {}, "int4"));
  EXPECT_NE(base, key(a, bias, "int4-g64"));
  EXPECT_NE(base, key(a, bias, "int4", true));
  EXPECT_NE(base, key(a, bias, "int4", false, Isa::kScalar));
  EXPECT_NE(base, key(a, bias, "int4", false, Isa::kAvx2, true));
}

}  // namespace
}  // namespace bitrate
