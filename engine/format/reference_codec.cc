#include "engine/format/reference_codec.h"

#include "engine/base/check.h"
#include "engine/format/decode.h"

namespace bitrate {
namespace {

decode::RowDecoder DecoderOf(QuantFormatId format) {
  switch (format) {
    case QuantFormatId::kF32:
      return decode::RowF32;
    case QuantFormatId::kF16:
      return decode::RowF16;
    case QuantFormatId::kBF16:
      return decode::RowBF16;
    case QuantFormatId::kQ8_0:
      return decode::RowQ8_0;
    case QuantFormatId::kQ4_0:
      return decode::RowQ4_0;
    case QuantFormatId::kQ4_1:
      return decode::RowQ4_1;
    case QuantFormatId::kQ5_0:
      return decode::RowQ5_0;
    case QuantFormatId::kQ5_1:
      return decode::RowQ5_1;
    case QuantFormatId::kQ4_K:
      return decode::RowQ4_K;
    case QuantFormatId::kQ5_K:
      return decode::RowQ5_K;
    case QuantFormatId::kQ6_K:
      return decode::RowQ6_K;
    case QuantFormatId::kQ2_K:
      return decode::RowQ2_K;
    case QuantFormatId::kQ3_K:
      return decode::RowQ3_K;
    case QuantFormatId::kIQ4_NL:
      return decode::RowIQ4_NL;
    case QuantFormatId::kIQ4_XS:
      return decode::RowIQ4_XS;
    case QuantFormatId::kCoded:
      break;
  }
  return nullptr;
}

}  // namespace

void DecodeRow(QuantFormatId format, std::span<const std::byte> row, std::span<float> out) {
  const int64_t k = static_cast<int64_t>(out.size());
  BITRATE_CHECK(static_cast<int64_t>(row.size()) == RowBytes(format, k));
  DecoderOf(format)(row.data(), k, out.data());
}

void DecodeRows(const WeightMatrix& matrix, int64_t row_begin, int64_t row_end, float* out) {
  const int64_t row_bytes = matrix.row_bytes();
  BITRATE_CHECK(row_begin >= 0 && row_begin <= row_end && row_end <= matrix.n);
  BITRATE_CHECK(static_cast<int64_t>(matrix.data.size()) == matrix.n * row_bytes);
  if (matrix.coded != nullptr) {
    for (int64_t row = row_begin; row < row_end; ++row, out += matrix.k) {
      DecodeCodedRow(*matrix.coded, matrix.k, matrix.data.data() + row * row_bytes, out);
    }
    return;
  }
  const decode::RowDecoder decoder = DecoderOf(matrix.format);
  for (int64_t row = row_begin; row < row_end; ++row, out += matrix.k) {
    decoder(matrix.data.data() + row * row_bytes, matrix.k, out);
  }
}

bool IsFourBitGrid(QuantFormatId format) {
  return format == QuantFormatId::kQ4_0 || format == QuantFormatId::kQ4_1 || format == QuantFormatId::kQ4_K;
}

bool IsFourBitGrid(const WeightMatrix& matrix) {
  return matrix.coded != nullptr ? FitsInt4(*matrix.coded, matrix.k) : IsFourBitGrid(matrix.format);
}

bool IsEightBitGrid(QuantFormatId format) { return format == QuantFormatId::kQ8_0; }

}  // namespace bitrate
