// oneDNN may serve large M only where it gives the own kernels' bits; everywhere else it says why not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/backend/cpu/linear.h"
#include "engine/backend/cpu/onednn_gemm.h"
#include "engine/backend/cpu/onednn_linear.h"
#include "tests/differential/linear/linear_fixture.h"

namespace bitrate::linear {
namespace {

using linear_test::RandomFloats;
using linear_test::RandomMatrix;
using linear_test::RunOp;
using linear_test::TestContext;
using testing::AnyOf;
using testing::HasSubstr;

std::shared_ptr<const PackedWeights> PackFor(const char* precision, int64_t k) {
  const WeightMatrix matrix = RandomMatrix(QuantFormatId::kF32, 130, k, 1);
  InlineParallel parallel;
  const Scheme scheme = ResolveScheme(*Precision::Parse(precision), false, matrix);
  return std::make_shared<const PackedWeights>(PackedWeights::Pack({&matrix, 1}, scheme, parallel));
}

std::string Reason(const char* precision, int64_t k, Isa isa, bool attempt) {
  const auto gemm = MakeOnednnGemm(PackFor(precision, k), ScalarLinearKernels(), isa, attempt);
  return gemm.ok() ? "accepted" : std::string(gemm.status().message());
}

TEST(OnednnTest, RefusesBelowAvx512ByItself) {
  for (const char* precision : {"fp32", "fp16", "int8-token"}) {
    EXPECT_THAT(Reason(precision, 128, Isa::kAvx2, false),
                AnyOf(HasSubstr("explicit 64-row layout is ref:any below AVX-512"), HasSubstr("made without it")));
  }
}

TEST(OnednnTest, RefusesFormatsItHasNoLayoutFor) {
  for (const char* precision : {"int8", "int8-w8a16", "int4", "int4-w4a16"}) {
    EXPECT_THAT(Reason(precision, 128, Isa::kAvx512, false), AnyOf(HasSubstr("no matmul of"), HasSubstr("without it")));
  }
  EXPECT_THAT(Reason("fp32", 130, Isa::kAvx512, false), AnyOf(HasSubstr("not a multiple"), HasSubstr("without it")));
}

// An attempt on whatever CPU this is: either it is refused for being a reference implementation or for other bits, or
// its bits are the own kernels'.
TEST(OnednnTest, AnAttemptIsRefusedOrExact) {
  for (const char* precision : {"fp32", "fp16", "bf16", "int8-token"}) {
    const auto weights = PackFor(precision, 1152);
    const LinearKernels& kernels = DetectIsa() == Isa::kAvx512 ? Avx512LinearKernels()
                                   : DetectIsa() == Isa::kAvx2 ? Avx2LinearKernels()
                                                               : ScalarLinearKernels();
    auto gemm = MakeOnednnGemm(weights, kernels, DetectIsa(), true);
    if (!gemm.ok()) {
      EXPECT_THAT(std::string(gemm.status().message()),
                  AnyOf(HasSubstr("has only ref"), HasSubstr("bits differ"), HasSubstr("another order"),
                        HasSubstr("could not create"), HasSubstr("without it")))
          << precision;
      continue;
    }
    const std::vector<float> bias = RandomFloats(130, 2), x = RandomFloats(200 * 1152, 3);
    auto own = std::make_shared<const PanelLinear>(weights, bias, kernels, std::vector<std::string>());
    const PrefillLinear both(own, *std::move(gemm));
    for (int64_t m : {31, 32, 33, 200}) {
      const std::vector<float> want = RunOp(*own, x, m, 1), got = RunOp(both, x, m, 2);
      EXPECT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * sizeof(float))) << precision << " M=" << m;
    }
  }
}

// The operator around a matmul: which rows it gives away, and what happens when the matmul fails.
class FakeGemm final : public PrefillGemm {
 public:
  FakeGemm(std::shared_ptr<const PackedWeights> weights, int64_t fail_panel)
      : weights_(std::move(weights)), fail_panel_(fail_panel) {}
  std::string name() const override { return "fake"; }
  int64_t RowBytes() const override { return weights_->k() * 4; }
  void FillRow(const float* x, std::byte* source, float* row_scale) const override {
    std::memcpy(source, x, static_cast<size_t>(RowBytes()));
    *row_scale = 1.0f;
  }
  int64_t ScratchBytes() const override { return 64; }
  void BeginPanel(int64_t panel, std::byte* scratch) const override { std::memcpy(scratch, &panel, sizeof(panel)); }
  bool RunPanel(int64_t panel, const void* source, const float* row_scale, int64_t rows, std::byte* scratch,
                float* out) const override {
    int64_t begun;
    std::memcpy(&begun, scratch, sizeof(begun));
    EXPECT_EQ(begun, panel);
    EXPECT_EQ(row_scale[0], 1.0f);
    if (panel == fail_panel_) return false;
    for (int64_t row = 0; row < rows; row += 32) {
      ScalarLinearKernels().f32(weights_->panel(panel), static_cast<const float*>(source) + row * weights_->k(),
                                weights_->k(), 32, out + row * kPanelRows);
    }
    return true;
  }

 private:
  std::shared_ptr<const PackedWeights> weights_;
  int64_t fail_panel_;
};

TEST(OnednnTest, TheOperatorFallsBackWhenAMatmulFails) {
  const auto weights = PackFor("fp32", 96);
  const std::vector<float> bias = RandomFloats(130, 2), x = RandomFloats(300 * 96, 3);
  auto own = std::make_shared<const PanelLinear>(weights, bias, ScalarLinearKernels(), std::vector<std::string>());
  for (int64_t fail_panel : {-1, 0, 2}) {
    const PrefillLinear both(own, std::make_shared<FakeGemm>(weights, fail_panel));
    EXPECT_EQ(both.info().prefill_kernel, "fake/scalar");
    for (int64_t m : {1, 31, 32, 95, 224, 300}) {
      for (int workers : {1, 2}) EXPECT_EQ(RunOp(*own, x, m, 1), RunOp(both, x, m, workers)) << m;
    }
  }
}

}  // namespace
}  // namespace bitrate::linear
