// Exact repack of Q4_0, Q4_1 and Q4_K into Int4Matrix: codes are moved, scales and minima converted; nothing is
// rounded.
#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/format/blocks.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

constexpr int64_t kGroup = 32;

inline void UnpackNibbles16(const uint8_t* __restrict qs, uint8_t* __restrict codes) {
  for (int j = 0; j < 16; ++j) codes[j] = qs[j] & 15;
  for (int j = 0; j < 16; ++j) codes[j + 16] = qs[j] >> 4;
}

void RepackQ4_0(const std::byte* row, int64_t k, uint8_t* codes, float* scale) {
  for (int64_t b = 0; b < k / kGroup; ++b) {
    BlockQ4_0 block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    scale[b] = ToFloat(block.d);
    UnpackNibbles16(block.qs, codes + b * kGroup);
  }
}

void RepackQ4_1(const std::byte* row, int64_t k, uint8_t* codes, float* scale, float* min) {
  for (int64_t b = 0; b < k / kGroup; ++b) {
    BlockQ4_1 block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    scale[b] = ToFloat(block.d);
    min[b] = ToFloat(block.m);
    UnpackNibbles16(block.qs, codes + b * kGroup);
  }
}

void RepackQ4_K(const std::byte* row, int64_t k, uint8_t* __restrict codes, float* scale, float* min) {
  uint8_t scales[8], mins[8];
  for (int64_t b = 0; b < k / kSuperblockElements; ++b, scale += 8, min += 8) {
    BlockQ4_K block;
    std::memcpy(&block, row + b * sizeof(block), sizeof(block));
    const float d = ToFloat(block.d), dmin = ToFloat(block.dmin);
    UnpackSuperblockScales(block.scales, scales, mins);
    for (int s = 0; s < 8; ++s) {
      scale[s] = d * scales[s];
      min[s] = -(dmin * mins[s]);  // x - y and x + (-y) are the same operation in IEEE arithmetic
    }
    for (int c = 0; c < 4; ++c, codes += 64) {
      const uint8_t* qs = block.qs + 32 * c;
      for (int j = 0; j < 32; ++j) codes[j] = qs[j] & 15;
      for (int j = 0; j < 32; ++j) codes[j + 32] = qs[j] >> 4;
    }
  }
}

bool AllFp16(const std::vector<float>& values) {
  for (float value : values) {
    if (!(ToFloat(ToFp16(value)) == value)) return false;
  }
  return true;
}

}  // namespace

Int4Matrix RepackToInt4(const WeightMatrix& matrix, int64_t row_begin, int64_t row_end) {
  if (matrix.coded != nullptr) return CodedToInt4(matrix, row_begin, row_end);
  BITRATE_CHECK(IsFourBitGrid(matrix.format));
  BITRATE_CHECK(row_begin >= 0 && row_begin <= row_end && row_end <= matrix.n);
  const int64_t row_bytes = RowBytes(matrix.format, matrix.k);
  const int64_t groups = matrix.k / kGroup;
  Int4Matrix out;
  out.n = row_end - row_begin;
  out.k = matrix.k;
  out.group_size = kGroup;
  out.offset = matrix.format == QuantFormatId::kQ4_0 ? Int4Offset::kSymmetric : Int4Offset::kMin;
  out.codes.resize(static_cast<size_t>(out.n * out.k));
  out.scale.resize(static_cast<size_t>(out.n * groups));
  if (out.offset == Int4Offset::kMin) out.min.resize(out.scale.size());
  for (int64_t i = 0; i < out.n; ++i) {
    const std::byte* row = matrix.data.data() + (row_begin + i) * row_bytes;
    uint8_t* codes = out.codes.data() + i * out.k;
    float* scale = out.scale.data() + i * groups;
    if (matrix.format == QuantFormatId::kQ4_0) RepackQ4_0(row, out.k, codes, scale);
    if (matrix.format == QuantFormatId::kQ4_1) RepackQ4_1(row, out.k, codes, scale, out.min.data() + i * groups);
    if (matrix.format == QuantFormatId::kQ4_K) RepackQ4_K(row, out.k, codes, scale, out.min.data() + i * groups);
  }
  out.fp16_exact = matrix.format != QuantFormatId::kQ4_K || (AllFp16(out.scale) && AllFp16(out.min));
  return out;
}

}  // namespace bitrate
