#include "engine/backend/cpu/linear_scheme.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/format/codebooks.h"
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

// A coded matrix of four bits in the groups that its file has.
Scheme KeepCodedGrid(const WeightMatrix& matrix, Math math) {
  const CodedLayout& coded = *matrix.coded;
  Scheme scheme;
  scheme.layout = Layout::kU4;
  scheme.math = math;
  scheme.group_size = static_cast<int>(Int4GroupSize(coded, matrix.k));
  scheme.offset = !coded.zero_per_group && coded.zero == 8 ? Int4Offset::kSymmetric : Int4Offset::kZero;
  scheme.f32_planes = !coded.fp16_scales;
  scheme.repack = true;
  return scheme;
}

Scheme ResolveInt4(const Precision& precision, const WeightMatrix& matrix) {
  Scheme scheme;
  scheme.layout = Layout::kU4;
  scheme.math = MathOf(precision.activations);
  if (precision.keep_source_grid && matrix.coded != nullptr && IsFourBitGrid(matrix)) {
    return KeepCodedGrid(matrix, scheme.math);
  }
  if (precision.keep_source_grid && matrix.coded == nullptr && IsFourBitGrid(matrix.format)) {
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

Scheme ResolveInt8(const Precision& precision, const WeightMatrix& matrix) {
  Scheme scheme;
  scheme.layout = Layout::kS8Channel;
  scheme.math = MathOf(precision.activations);
  scheme.repack = matrix.coded != nullptr && FitsInt8Channel(*matrix.coded, matrix.k);
  return scheme;
}

constexpr int kTableStep = 8;  // of k: a kernel reads the codes of one group at a time

bool FitsTable(const WeightMatrix& matrix) {
  return matrix.coded != nullptr && matrix.coded->code_bits == 4 && matrix.coded->is_table() &&
         matrix.coded->group_of.empty() &&
         (matrix.coded->group_size % kTableStep == 0 || matrix.coded->group_size >= matrix.k);
}

Scheme TableScheme(const CodedLayout& coded, int64_t k, bool repack) {
  Scheme scheme;
  scheme.layout = Layout::kT4;
  scheme.group_size = static_cast<int>(std::min(coded.group_size, (k + kTableStep - 1) / kTableStep * kTableStep));
  scheme.f32_planes = true;
  scheme.repack = repack;
  std::copy(coded.table.begin(), coded.table.end(), scheme.table.begin());
  return scheme;
}

Scheme SourceScheme(const WeightMatrix& matrix) {
  Scheme scheme;
  scheme.layout = Layout::kSource;
  scheme.source = matrix.format_name();
  return scheme;
}

Scheme NativeCoded(const WeightMatrix& matrix) {
  const CodedLayout& coded = *matrix.coded;
  // The coarser the weights, the larger they are in steps of their grid, and with them the noise of int8 activations:
  // 2-bit groups of 32 lose 0.55 of a logit whose standard deviation is 2, 4-bit ones 0.35.
  if (FitsInt4(coded, matrix.k)) {
    return KeepCodedGrid(matrix, coded.source_bits < 4 ? Math::kFloat : Math::kInt8Groups);
  }
  if (FitsTable(matrix)) return TableScheme(coded, matrix.k, true);
  if (!FitsInt8Channel(coded, matrix.k)) return SourceScheme(matrix);
  Scheme scheme;
  scheme.layout = Layout::kS8Channel;
  scheme.math = coded.int8_activations ? Math::kInt8Token : Math::kInt8Groups;
  scheme.repack = true;
  return scheme;
}

// The layout that holds the stored values themselves, with the fastest arithmetic for it.
Scheme ResolveNative(bool is_head, const WeightMatrix& matrix) {
  if (matrix.coded != nullptr) return NativeCoded(matrix);
  Scheme scheme;
  switch (matrix.format) {
    case QuantFormatId::kF32:
      return scheme;
    case QuantFormatId::kF16:
      scheme.layout = Layout::kFp16;
      return scheme;
    case QuantFormatId::kBF16:
      scheme.layout = Layout::kBf16;
      return scheme;
    default:
      break;
  }
  if (IsEightBitGrid(matrix.format)) return ResolveHead(Math::kInt8Groups, matrix);
  if (is_head || !IsFourBitGrid(matrix.format)) return SourceScheme(matrix);
  Precision int4;
  int4.kind = Precision::Kind::kInt4;
  int4.activations = Precision::Activations::kInt8Groups;
  int4.keep_source_grid = true;
  return ResolveInt4(int4, matrix);
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
    case Layout::kT4:
      return fmt::format("table4-g{}-w4a16", group_size);
    case Layout::kSource:
      return fmt::format("{}-by-panel-w32a32", source);
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
    case Layout::kT4:
      return 4 + 32.0 / group_size;
    case Layout::kSource:
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
      return ResolveInt8(precision, matrix);
    case Precision::Kind::kInt4:
      return is_head ? ResolveHead(MathOf(precision.activations), matrix) : ResolveInt4(precision, matrix);
    case Precision::Kind::kNf4:
      if (is_head) {  // bitsandbytes keeps heads at 16 bits
        scheme.layout = matrix.format == QuantFormatId::kBF16 ? Layout::kBf16 : Layout::kFp16;
        return scheme;
      }
      return FitsTable(matrix) ? TableScheme(*matrix.coded, matrix.k, true) : TableScheme(Nf4Layout(), matrix.k, false);
    case Precision::Kind::kNative:
      return ResolveNative(is_head, matrix);
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
    case Layout::kT4:
      return up(32);
    case Layout::kSource:
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
    case Layout::kT4:
      return elements / 2;
    case Layout::kSource:
      break;
  }
  return 0;
}

}  // namespace bitrate::linear
