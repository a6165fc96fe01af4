// Scalar decoding (and the encoders we define) of every storage format: the oracle that kernels are tested against and
// the path that loads any format. Pure functions, thread-safe. Dequantization is exact: scale and zero are converted to
// f32 first and products are formed in f32, as the format's own tool does (golden quant/*/dequant.safetensors).
#ifndef BITRATE_ENGINE_FORMAT_REFERENCE_CODEC_H_
#define BITRATE_ENGINE_FORMAT_REFERENCE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/group_quant.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

// Decodes one row: `row` holds RowBytes(format, out.size()) bytes, `out` [K] f32.
void DecodeRow(QuantFormatId format, std::span<const std::byte> row, std::span<float> out);

// Decodes rows [row_begin, row_end) of `matrix` into `out` [row_end - row_begin, K] f32 row-major.
void DecodeRows(const WeightMatrix& matrix, int64_t row_begin, int64_t row_end, float* out);

// True for Q4_0, Q4_1 (and Q4_K, whose d*sc and dmin*m products need an f32 plane): the matrix is on a 4-bit grid of
// (scale, zero | minimum) per group already, so a repack to Int4Matrix is exact.
bool IsFourBitGrid(QuantFormatId format);
bool IsFourBitGrid(const WeightMatrix& matrix);  // and coded rows that FitsInt4

// Exact repack of rows [row_begin, row_end) of a matrix with IsFourBitGrid into the normalised form. The result
// dequantizes to exactly the values of DecodeRows. group_size is 32, or that of the coded rows.
Int4Matrix RepackToInt4(const WeightMatrix& matrix, int64_t row_begin, int64_t row_end);

// True for Q8_0: codes s8 with one scale per 32. (The grid that a packaged head keeps.)
bool IsEightBitGrid(QuantFormatId format);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_REFERENCE_CODEC_H_
