// Every kernel table against the scalar reference, to the bit, over formats, shapes, M and workers.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/half.h"
#include "tests/differential/linear/linear_fixture.h"

namespace bitrate::linear_test {
namespace {

constexpr int64_t kRows = 70;  // more than a chunk of 64

class LinearIsaTest : public testing::TestWithParam<Case> {};

::testing::AssertionResult SameRows(const std::vector<float>& expected, const std::vector<float>& actual, int64_t n) {
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(actual[i])) continue;
    return ::testing::AssertionFailure() << "row " << i / static_cast<size_t>(n) << " column "
                                         << i % static_cast<size_t>(n) << ": want " << expected[i] << ", got "
                                         << actual[i];
  }
  return ::testing::AssertionSuccess();
}

// What the hardware's dot of bf16 pairs defines, in the promised order of K blocks: per step two f32 multiply-adds,
// the odd product first, subnormals read and written as zero.
float Flush(float v) { return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0f, v) : v; }

float DotBf16(const float* x, const float* w, int64_t k) {
  float total = 0.0f;
  for (int64_t begin = 0; begin < k; begin += linear::BlockK(k)) {
    const int64_t end = std::min(k, begin + linear::BlockK(k));
    float acc = 0.0f;
    for (int64_t i = begin; i < end; i += 2) {
      for (int64_t j : {i + 1, i}) {
        const float a = j < end ? Flush(ToFloat(ToBf16(x[j]))) : 0.0f, b = j < end ? Flush(w[j]) : 0.0f;
        acc = Flush(std::fma(a, b, acc));
      }
    }
    total += acc;
  }
  return total;
}

// What `op` must give for all rows: the scalar reference's bits. Only a bf16 dot has an order of its own within a pair
// of k: the emulation's is written out above; real parts may differ from it in the last bits, so there the rows of one
// large M are the reference for all others.
std::vector<float> Expected(const Table& table, const LinearOp& op, const LinearOp& scalar, const std::vector<float>& x,
                            const std::vector<float>& bias) {
  const bool dot = table.kernels->bf16_dot && scalar.info().kernel == "bf16/scalar";
  if (!dot) return RunOp(scalar, x, kRows, 1);
  if (!table.exact_bf16_dot) return RunOp(op, x, kRows, 1);
  const std::vector<float> w = GatherAll(scalar);
  const int64_t rows = table.ms.back(), n = scalar.n(), k = scalar.k();
  std::vector<float> y(static_cast<size_t>(rows * n));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const float value = DotBf16(x.data() + i * k, w.data() + j * k, k);
      y[static_cast<size_t>(i * n + j)] = bias.empty() ? value : value + bias[static_cast<size_t>(j)];
    }
  }
  return y;
}

// A row's result must not depend on M or on the workers either (promise 2), so each M is compared with the same rows.
TEST_P(LinearIsaTest, EqualsReference) {
  const Case& c = GetParam();
  uint32_t seed = 1;
  for (const Shape shape : ShapesFor(c.source)) {
    const WeightMatrix matrix = RandomMatrix(c.source, shape.n, shape.k, ++seed);
    const std::vector<float> bias = RandomFloats(seed % 2 == 0 ? static_cast<size_t>(shape.n) : 0, seed + 100);
    const std::vector<float> x = RandomFloats(static_cast<size_t>(kRows * shape.k), seed + 200);
    const auto scalar = Prepare(c, {&matrix, 1}, bias, linear::ScalarLinearKernels());
    for (const Table& table : AllTables()) {
      SCOPED_TRACE(table.name + " N=" + std::to_string(shape.n) + " K=" + std::to_string(shape.k));
      const auto op = Prepare(c, {&matrix, 1}, bias, *table.kernels);
      const std::vector<float> expected = Expected(table, *op, *scalar, x, bias);
      for (int64_t m : table.ms) {
        ASSERT_TRUE(SameRows(expected, RunOp(*op, x, m, 1), shape.n)) << "M=" << m;
        if (m != 1 && m != table.ms.back()) continue;
        ASSERT_TRUE(SameRows(expected, RunOp(*op, x, m, 2), shape.n)) << "M=" << m << " by two workers";
      }
      ASSERT_TRUE(SameRows(GatherAll(*scalar), GatherAll(*op), shape.k));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, LinearIsaTest, testing::ValuesIn(AllCases()),
                         [](const auto& info) { return info.param.Name(); });

}  // namespace
}  // namespace bitrate::linear_test
