#include "engine/backend/cpu/linear_scheme.h"

#include <fmt/core.h>

#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/format/reference_codec.h"

namespace bitrate::linear {
namespace {

constexpr int kInt8ActivationGroup = 64;
constexpr int kSourceGroup = 32;  // Q4_0, Q4_1, Q4_K sub-blocks and Q8_0

Math MathOf(Precision::Activations activations) {
  switch (activations) {
    case Precision::Activations::kFloat:
      return Math::kFloat;
    case Precision::Activations::kInt8Groups:
      return Math::kInt8Groups;
    case Precision::Activations::kInt8Token:
      return Math::kInt8Token;
  }
  return Math::kFloat;
}

Scheme ResolveHead(Math math, const WeightMatrix& matrix) {
  Scheme scheme;
  // A head decides the argmax: it keeps groups where the body has one scale a token.
  scheme.math = math == Math::kFloat ? Math::kFloat : Math::kInt8Groups;
  scheme.layout = Layout::kS8Channel;
  if (IsEightBitGrid(matrix.format)) {
    scheme.layout = Layout::kS8Group;
    scheme.group_size = kSourceGroup;
    scheme.repack = true;
  }
  return scheme;
}

Scheme ResolveInt4(const Precision& precision, const WeightMatrix& matrix) {
  Scheme scheme;
  scheme.layout = Layout::kU4;
  scheme.math = MathOf(precision.activations);
  if (precision.keep_source_grid && IsFourBitGrid(matrix.format)) {
    scheme.group_size = kSourceGroup;
    scheme.offset = matrix.format == QuantFormatId::kQ4_0 ? Int4Offset::kSymmetric : Int4Offset::kMin;
    scheme.f32_planes = matrix.format == QuantFormatId::kQ4_K;  // d * sc needs more bits than fp16 has
    scheme.repack = true;
    return scheme;
  }
  scheme.group_size = precision.keep_source_grid ? 64 : precision.group_size;
  scheme.offset = precision.keep_source_grid ? Int4Offset::kSymmetric : precision.offset;
  return scheme;
}

}  // namespace

int64_t Scheme::ActivationGroup(int64_t k) const {
  if (math == Math::kInt8Token) return k;
  return group_size == 0 ? kInt8ActivationGroup : group_size;
}

std::string Scheme::Name() const {
  const char* activations = math == Math::kFloat ? "16" : math == Math::kInt8Token ? "8-token" : "8";
  switch (layout) {
    case Layout::kF32:
      return "fp32";
    case Layout::kBf16:
      return "bf16";
    case Layout::kFp16:
      return "fp16";
    case Layout::kS8Channel:
      return fmt::format("int8-w8a{}", activations);
    case Layout::kS8Group:
      return fmt::format("int8-g{}-w8a{}", group_size, activations);
    case Layout::kU4: {
      const char* kind = offset == Int4Offset::kSymmetric ? "" : offset == Int4Offset::kZero ? "-asym" : "-min";
      return fmt::format("int4-g{}{}-w4a{}", group_size, kind, activations);
    }
  }
  return "?";
}

double Scheme::WeightBits(int64_t k) const {
  const double plane_bits = f32_planes ? 32 : 16;
  switch (layout) {
    case Layout::kF32:
      return 32;
    case Layout::kBf16:
    case Layout::kFp16:
      return 16;
    case Layout::kS8Channel:
      return 8 + 32.0 / static_cast<double>(k);
    case Layout::kS8Group:
      return 8 + 16.0 / group_size;
    case Layout::kU4:
      break;
  }
  const double offset_bits = offset == Int4Offset::kSymmetric ? 0 : offset == Int4Offset::kZero ? 8 : plane_bits;
  return 4 + (plane_bits + offset_bits) / group_size;
}

Scheme ResolveScheme(const Precision& precision, bool is_head, const WeightMatrix& matrix) {
  Scheme scheme;
  switch (precision.kind) {
    case Precision::Kind::kFp32:
      return scheme;
    case Precision::Kind::kBf16:
      scheme.layout = Layout::kBf16;
      return scheme;
    case Precision::Kind::kFp16:
      scheme.layout = Layout::kFp16;
      return scheme;
    case Precision::Kind::kInt8:
      if (is_head) return ResolveHead(MathOf(precision.activations), matrix);
      scheme.layout = Layout::kS8Channel;
      scheme.math = MathOf(precision.activations);
      return scheme;
    case Precision::Kind::kInt4:
      return is_head ? ResolveHead(MathOf(precision.activations), matrix) : ResolveInt4(precision, matrix);
  }
  return scheme;
}

int64_t PaddedK(Layout layout, int64_t k) {
  const auto up = [k](int64_t step) { return (k + step - 1) / step * step; };
  switch (layout) {
    case Layout::kF32:
      return up(16);
    case Layout::kBf16:
    case Layout::kU4:
      return up(32);
    case Layout::kFp16:
      return k;
    case Layout::kS8Channel:
    case Layout::kS8Group:
      return up(64);
  }
  return k;
}

int64_t PanelCodeBytes(Layout layout, int64_t k) {
  const int64_t elements = PaddedK(layout, k) * kPanelRows;
  switch (layout) {
    case Layout::kF32:
      return elements * 4;
    case Layout::kBf16:
    case Layout::kFp16:
      return elements * 2;
    case Layout::kS8Channel:
    case Layout::kS8Group:
      return elements;
    case Layout::kU4:
      return elements / 2;
  }
  return 0;
}

}  // namespace bitrate::linear
