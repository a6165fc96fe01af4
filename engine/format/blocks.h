// POD layouts of the GGUF block formats, byte for byte as stored. A block holds consecutive weights of one row.
// Files give no alignment promise: copy a block out (memcpy) before reading its fields.
// Source: ggml block structs (ggml-common.h); decoding rules beside each field are those of its reference dequantizers.
#ifndef BITRATE_ENGINE_FORMAT_BLOCKS_H_
#define BITRATE_ENGINE_FORMAT_BLOCKS_H_

#include <cstdint>

#include "engine/base/half.h"

namespace bitrate {

inline constexpr int kBlockElements = 32;        // Q4_0 ... Q8_0
inline constexpr int kSuperblockElements = 256;  // Q4_K ... Q6_K: eight or sixteen sub-blocks

// In Q4_* and Q5_* byte j of qs holds element j in its low nibble and element j + 16 in its high one.

struct BlockQ4_0 {  // w = d * (q - 8)
  Fp16 d;
  uint8_t qs[16];
};

struct BlockQ4_1 {  // w = d * q + m
  Fp16 d;
  Fp16 m;
  uint8_t qs[16];
};

struct BlockQ5_0 {  // w = d * (q - 16)
  Fp16 d;
  uint8_t qh[4];  // little-endian u32: bit j is the fifth bit of element j
  uint8_t qs[16];
};

struct BlockQ5_1 {  // w = d * q + m
  Fp16 d;
  Fp16 m;
  uint8_t qh[4];
  uint8_t qs[16];
};

struct BlockQ8_0 {  // w = d * q
  Fp16 d;
  int8_t qs[32];
};

// Q4_K and Q5_K: sub-block s of 32 weights has w = (d * scale_s) * q - (dmin * min_s), scale_s and min_s of 6 bits
// packed in `scales` (UnpackSuperblockScales). Each 32 bytes of qs hold 64 weights: low nibbles the first 32.
struct BlockQ4_K {
  Fp16 d;
  Fp16 dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

struct BlockQ5_K {
  Fp16 d;
  Fp16 dmin;
  uint8_t scales[12];
  uint8_t qh[32];  // bit s of byte l is the fifth bit of weight l of sub-block s
  uint8_t qs[128];
};

// w = (d * scale) * (q - 32), one signed scale per 16 weights. Each half of 128 weights uses 64 bytes of ql, 32 of qh:
// weight l + 32 * j (l < 32, j < 4) takes a nibble of ql[l + 32 * (j & 1)] (low for j < 2) and bits 2j, 2j + 1 of
// qh[l].
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  Fp16 d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

// The eight 6-bit scales and minima of Q4_K and Q5_K: the first four pairs sit in the low six bits of bytes 0-3 and
// 4-7; the last four have their low nibbles in bytes 8-11 and their top two bits in the top bits of bytes 0-7.
inline void UnpackSuperblockScales(const uint8_t packed[12], uint8_t scale[8], uint8_t min[8]) {
  for (int s = 0; s < 4; ++s) {
    scale[s] = packed[s] & 63;
    min[s] = packed[s + 4] & 63;
    scale[s + 4] = static_cast<uint8_t>((packed[s + 8] & 15) | ((packed[s] >> 6) << 4));
    min[s + 4] = static_cast<uint8_t>((packed[s + 8] >> 4) | ((packed[s + 4] >> 6) << 4));
  }
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_BLOCKS_H_
