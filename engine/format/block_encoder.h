// Encoders into the plain and 32-weight storage formats, byte for byte what ggml's reference quantizers write. For
// writers and test fixtures; the engine's own precisions are made by group_quant.h.
// Pure functions, thread-safe. The K formats (Q4_K, Q5_K, Q6_K) have no encoder: theirs is a search, not a rule.
// Source: ggml quantize_row_*_ref; checked against its bytes in golden quantizers/.
#ifndef BITRATE_ENGINE_FORMAT_BLOCK_ENCODER_H_
#define BITRATE_ENGINE_FORMAT_BLOCK_ENCODER_H_

#include <cstddef>
#include <span>

#include "engine/format/quant_format.h"

namespace bitrate {

bool HasBlockEncoder(QuantFormatId format);

// values [K] f32, K a multiple of the block; `out` holds RowBytes(format, K) bytes. Infinities and NaNs are encoded as
// some code; nothing else of the row changes but their own block.
void EncodeRow(QuantFormatId format, std::span<const float> values, std::span<std::byte> out);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_BLOCK_ENCODER_H_
