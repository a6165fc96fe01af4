// The codebooks of table formats (coded_rows.h) and the encoder into NF4. Pure functions, thread-safe.
// Sources: QLoRA (arXiv 2305.14314) and bitsandbytes for NF4 and its thresholds; OCP MX 1.0 for E2M1 and E4M3.
#ifndef BITRATE_ENGINE_FORMAT_CODEBOOKS_H_
#define BITRATE_ENGINE_FORMAT_CODEBOOKS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/format/coded_rows.h"

namespace bitrate {

inline constexpr int kNf4Block = 64;

// Ascending; code 7 is zero.
const std::array<float, 16>& Nf4Codebook();

// By code: three bits of magnitude under a sign bit. As f32: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
std::vector<float> E2m1Codebook();
// float8 e4m3fn: no infinities, 0x7f and 0xff are NaN.
std::vector<float> E4m3Codebook();
// 2^(code - 127), a scale of MX blocks; 255 is NaN.
float E8m0(uint8_t code);

// Blocks of 64 along each row, f32 scale = max|w| of the block. A value takes the code whose threshold it exceeds,
// after it was multiplied by 1 / scale in f32; ties go to the lower code. A block of zeros has scale 0 and code 7; one
// that holds an infinity or a NaN has a NaN scale, so that damage stays visible.
CodedLayout Nf4Layout();
// rows [n, K] f32 to n rows of Nf4Layout at `out`.
void EncodeNf4(std::span<const float> rows, int64_t n, int64_t k, std::byte* out);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_CODEBOOKS_H_
