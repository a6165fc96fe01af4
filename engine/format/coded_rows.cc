#include "engine/format/coded_rows.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {
namespace {

constexpr int kInt8Zero = 128;

// fn(value of code, k) for the k of [begin, end).
template <typename Value>
void DecodeRun(const CodedLayout& layout, const uint8_t* codes, int64_t begin, int64_t end, float scale, Value value,
               float* out) {
  if (layout.code_bits == 8) {
    for (int64_t k = begin; k < end; ++k) out[k] = value(codes[k]) * scale;
    return;
  }
  int64_t k = begin;
  if (k % 2 != 0 && k < end) {
    out[k] = value(codes[k / 2] >> 4) * scale;
    ++k;
  }
  for (; k + 2 <= end; k += 2) {
    out[k] = value(codes[k / 2] & 15) * scale;
    out[k + 1] = value(codes[k / 2] >> 4) * scale;
  }
  if (k < end) out[k] = value(codes[k / 2] & 15) * scale;
}

void DecodeGroup(const CodedLayout& layout, const CodedRow& row, int64_t group, int64_t begin, int64_t end,
                 float* out) {
  const float scale = row.scale[group];
  if (layout.is_table()) {
    const float* table = layout.table.data();
    DecodeRun(
        layout, row.codes, begin, end, scale, [table](int code) { return table[code]; }, out);
    return;
  }
  const int zero = layout.zero_per_group ? row.zero[group] : layout.zero;
  DecodeRun(
      layout, row.codes, begin, end, scale, [zero](int code) { return static_cast<float>(code - zero); }, out);
}

// The rows of a matrix are read only; RowParts serves writers too.
CodedRow RowOf(const CodedLayout& layout, int64_t k, const std::byte* row) {
  return RowParts(layout, k, const_cast<std::byte*>(row));
}

bool IsRuns(const CodedLayout& layout) { return layout.group_of.empty(); }

}  // namespace

CodedRow RowParts(const CodedLayout& layout, int64_t k, std::byte* row) {
  CodedRow parts;
  parts.codes = reinterpret_cast<uint8_t*>(row);
  parts.scale = reinterpret_cast<float*>(row + layout.CodeBytes(k));
  if (layout.zero_per_group) {
    parts.zero = reinterpret_cast<uint8_t*>(row + layout.CodeBytes(k) + layout.NumGroups(k) * 4);
  }
  return parts;
}

std::shared_ptr<std::vector<std::byte>> MakeCodedRows(const CodedLayout& layout, int64_t n, int64_t k) {
  return std::make_shared<std::vector<std::byte>>(static_cast<size_t>(n * layout.RowBytes(k)));
}

void DecodeCodedRow(const CodedLayout& layout, int64_t k, const std::byte* row, float* out) {
  const CodedRow parts = RowOf(layout, k, row);
  if (IsRuns(layout)) {
    for (int64_t g = 0, begin = 0; begin < k; ++g, begin += layout.group_size) {
      DecodeGroup(layout, parts, g, begin, std::min(k, begin + layout.group_size), out);
    }
    return;
  }
  for (int64_t i = 0; i < k; ++i) DecodeGroup(layout, parts, layout.group_of[static_cast<size_t>(i)], i, i + 1, out);
}

int64_t Int4GroupSize(const CodedLayout& layout, int64_t k) {
  if (layout.group_size >= k) return 128;  // one group, whatever its name for it: cut into the longest pieces
  for (int64_t size : {128, 64, 32}) {
    if (layout.group_size % size == 0) return size;
  }
  return 0;
}

bool FitsInt4(const CodedLayout& layout, int64_t k) {
  if (layout.code_bits != 4 || layout.is_table() || !IsRuns(layout)) return false;
  if (!layout.zero_per_group && (layout.zero < 0 || layout.zero > 15)) return false;
  return Int4GroupSize(layout, k) != 0;
}

bool FitsInt8Channel(const CodedLayout& layout, int64_t k) {
  return layout.code_bits == 8 && !layout.is_table() && !layout.zero_per_group && layout.zero == kInt8Zero &&
         layout.group_size >= k && IsRuns(layout);
}

Int4Matrix CodedToInt4(const WeightMatrix& matrix, int64_t begin, int64_t end) {
  const CodedLayout& layout = *matrix.coded;
  const int64_t k = matrix.k;
  BITRATE_CHECK(FitsInt4(layout, k) && begin >= 0 && begin <= end && end <= matrix.n);
  Int4Matrix out;
  out.n = end - begin;
  out.k = k;
  out.group_size = Int4GroupSize(layout, k);
  out.offset = !layout.zero_per_group && layout.zero == 8 ? Int4Offset::kSymmetric : Int4Offset::kZero;
  out.fp16_exact = layout.fp16_scales;
  const int64_t groups = out.num_groups();
  out.codes.resize(static_cast<size_t>(out.n * k));
  out.scale.resize(static_cast<size_t>(out.n * groups));
  if (out.offset == Int4Offset::kZero) out.zero.resize(out.scale.size());
  for (int64_t r = 0; r < out.n; ++r) {
    const CodedRow row = RowOf(layout, k, matrix.data.data() + (begin + r) * layout.RowBytes(k));
    uint8_t* codes = out.codes.data() + r * k;
    for (int64_t i = 0; i < k; ++i) codes[i] = static_cast<uint8_t>(CodeAt(row.codes, 4, i));
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t source = g * out.group_size / layout.group_size;
      const auto at = static_cast<size_t>(r * groups + g);
      out.scale[at] = row.scale[source];
      if (out.offset != Int4Offset::kZero) continue;
      out.zero[at] = layout.zero_per_group ? row.zero[source] : static_cast<uint8_t>(layout.zero);
    }
  }
  return out;
}

Int8Matrix CodedToInt8(const WeightMatrix& matrix, int64_t begin, int64_t end) {
  const CodedLayout& layout = *matrix.coded;
  const int64_t k = matrix.k;
  BITRATE_CHECK(FitsInt8Channel(layout, k) && begin >= 0 && begin <= end && end <= matrix.n);
  Int8Matrix out{end - begin, k, k, {}, {}};
  out.codes.resize(static_cast<size_t>(out.n * k));
  out.scale.resize(static_cast<size_t>(out.n));
  for (int64_t r = 0; r < out.n; ++r) {
    const CodedRow row = RowOf(layout, k, matrix.data.data() + (begin + r) * layout.RowBytes(k));
    out.scale[static_cast<size_t>(r)] = row.scale[0];
    for (int64_t i = 0; i < k; ++i) {
      out.codes[static_cast<size_t>(r * k + i)] = static_cast<int8_t>(row.codes[i] - kInt8Zero);
    }
  }
  return out;
}

}  // namespace bitrate
