// The scalar reference against arithmetic in f64 on the weights that GatherRows shows, within bounds derived from the
// promised formulas; and GatherRows against what the format's own codec says.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/half.h"
#include "engine/format/codebooks.h"
#include "engine/format/reference_codec.h"
#include "tests/differential/linear/linear_fixture.h"

namespace bitrate::linear_test {
namespace {

constexpr int64_t kRows = 3;
constexpr double kUnit = 0x1p-24;  // half an ulp of 1

class LinearReferenceTest : public testing::TestWithParam<Case> {};

int64_t ActivationGroup(const Case& c, int64_t k) {
  const Precision p = *Precision::Parse(c.precision);
  if (c.is_head) return c.source == QuantFormatId::kQ8_0 ? 32 : 64;
  if (p.activations == Precision::Activations::kInt8Token) return k;
  if (p.kind == Precision::Kind::kInt8) return 64;
  if (p.kind == Precision::Kind::kNative) return 32;
  return p.keep_source_grid && IsFourBitGrid(c.source) ? 32 : p.group_size;
}

// |float result - exact dot| for one output.
double Bound(const Case& c, const float* x, const float* w, int64_t k, bool float_math) {
  double magnitude = 0, quantization = 0;
  for (int64_t i = 0; i < k; ++i) magnitude += std::abs(static_cast<double>(x[i]) * w[i]);
  // Each of at most K roundings (an fma a term, or a few a group) is relative to a partial sum, which `magnitude`
  // bounds. A kMin group's two large terms may cancel in w, so give the sums of the parts room.
  double bound = (static_cast<double>(k) + 8) * kUnit * magnitude + 1e-30;
  if (float_math) return bound;
  const int64_t group = ActivationGroup(c, k);
  for (int64_t begin = 0; begin < k; begin += group) {
    const int64_t end = std::min(k, begin + group);
    double amax = 0, weights = 0;
    for (int64_t i = begin; i < end; ++i) {
      amax = std::max(amax, std::abs(static_cast<double>(x[i])));
      weights += std::abs(static_cast<double>(w[i]));
    }
    quantization += 0.5001 * amax / 127 * weights;  // half a step for each activation
    // A stored minimum and the codes' part may cancel in w; their products round on their own.
    bound += 8 * kUnit * amax * 16 * static_cast<double>(end - begin);
  }
  return bound + quantization;
}

TEST_P(LinearReferenceTest, IsTheDotOfTheGatheredWeights) {
  const Case& c = GetParam();
  const Precision precision = *Precision::Parse(c.precision);
  const bool float_math = precision.activations == Precision::Activations::kFloat;
  for (const Shape shape : ShapesFor(c.source)) {
    const WeightMatrix matrix = RandomMatrix(c.source, shape.n, shape.k, 7);
    const std::vector<float> bias = RandomFloats(static_cast<size_t>(shape.n), 8);
    std::vector<float> x = RandomFloats(static_cast<size_t>(kRows * shape.k), 9);
    const auto op = Prepare(c, {&matrix, 1}, bias, linear::ScalarLinearKernels());
    const std::vector<float> y = RunOp(*op, x, kRows, 1), w = GatherAll(*op);
    if (precision.kind == Precision::Kind::kBf16) {
      for (float& value : x) value = ToFloat(ToBf16(value));
    }
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) {
        const float* xi = x.data() + i * shape.k;
        const float* wj = w.data() + j * shape.k;
        double exact = bias[static_cast<size_t>(j)];
        for (int64_t p = 0; p < shape.k; ++p) exact += static_cast<double>(xi[p]) * wj[p];
        const double bound = Bound(c, xi, wj, shape.k, float_math) + 2 * kUnit * std::abs(exact);
        ASSERT_NEAR(y[static_cast<size_t>(i * shape.n + j)], exact, bound)
            << "row " << i << " column " << j << " K=" << shape.k;
      }
    }
  }
}

// What the gathered rows must be, by the format module alone.
std::vector<float> Dequantized(const Case& c, const WeightMatrix& matrix) {
  const Precision p = *Precision::Parse(c.precision);
  std::vector<float> rows(static_cast<size_t>(matrix.n * matrix.k));
  DecodeRows(matrix, 0, matrix.n, rows.data());
  if (p.kind == Precision::Kind::kFp32 || p.kind == Precision::Kind::kNative) return rows;
  if (p.kind == Precision::Kind::kNf4 && !c.is_head) {
    const CodedLayout layout = Nf4Layout();
    std::vector<std::byte> coded(static_cast<size_t>(matrix.n * layout.RowBytes(matrix.k)));
    EncodeNf4(rows, matrix.n, matrix.k, coded.data());
    for (int64_t i = 0; i < matrix.n; ++i) {
      DecodeCodedRow(layout, matrix.k, coded.data() + i * layout.RowBytes(matrix.k), rows.data() + i * matrix.k);
    }
    return rows;
  }
  if (p.kind == Precision::Kind::kBf16) {
    for (float& value : rows) value = ToFloat(ToBf16(value));
  } else if (p.kind == Precision::Kind::kFp16 || p.kind == Precision::Kind::kNf4) {
    for (float& value : rows) value = ToFloat(ToFp16(value));
  } else if (p.kind == Precision::Kind::kInt8 || c.is_head) {
    const bool keep = c.is_head && c.source == QuantFormatId::kQ8_0;
    if (!keep) Dequantize(QuantizeInt8(rows, matrix.n, matrix.k, matrix.k), rows.data());
  } else if (!p.keep_source_grid || !IsFourBitGrid(c.source)) {
    Dequantize(QuantizeInt4(rows, matrix.n, matrix.k, p.group_size, p.offset), rows.data());
  }
  return rows;
}

TEST_P(LinearReferenceTest, GatherRowsIsTheFormatsOwnDequantization) {
  const Case& c = GetParam();
  for (const Shape shape : ShapesFor(c.source)) {
    const WeightMatrix matrix = RandomMatrix(c.source, shape.n, shape.k, 11);
    EXPECT_EQ(GatherAll(*Prepare(c, {&matrix, 1}, {}, linear::ScalarLinearKernels())), Dequantized(c, matrix))
        << "N=" << shape.n << " K=" << shape.k;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, LinearReferenceTest, testing::ValuesIn(AllCases()),
                         [](const auto& info) { return info.param.Name(); });

}  // namespace
}  // namespace bitrate::linear_test
