// POD layouts of the GGUF block formats, byte for byte as stored. A block holds consecutive weights of one row.
// Files give no alignment promise: copy a block out (memcpy) before reading its fields.
// Source: ggml block structs (ggml-common.h); decoding rules beside each field are those of its reference dequantizers.
#ifndef BITRATE_ENGINE_FORMAT_BLOCKS_H_
#define BITRATE_ENGINE_FORMAT_BLOCKS_H_

#include <cstdint>

#include "engine/base/half.h"

namespace bitrate {

inline constexpr int kBlockElements = 32;        // Q4_0 ... Q8_0, IQ4_NL
inline constexpr int kSuperblockElements = 256;  // Q2_K ... Q6_K, IQ4_XS: eight or sixteen sub-blocks

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

// w = (d * scale) * q - (dmin * min), one byte per 16 weights: scale in its low nibble, min in its high one. Each half
// of 128 weights uses 32 bytes of qs: weight l + 32 * j (l < 32, j < 4) is bits 2j, 2j + 1 of qs[l].
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  Fp16 d;
  Fp16 dmin;
};

// w = (d * (scale - 32)) * (q - 4), one 6-bit scale per 16 weights (UnpackQ3Scales). The low two bits of q lie as in
// Q2_K; its third is bit 4 * half + j of hmask[l].
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  Fp16 d;
};

struct BlockIQ4_NL {  // w = d * kIq4Values[q], nibbles as in Q4_0
  Fp16 d;
  uint8_t qs[16];
};

// w = (d * (scale - 32)) * kIq4Values[q], one 6-bit scale per 32 weights: four low bits in a nibble of scales_l (the
// even ones low), two high bits in scales_h. 16 bytes of qs hold 32 weights, nibbles as in Q4_0.
struct BlockIQ4_XS {
  Fp16 d;
  uint16_t scales_h;  // bits 2s, 2s + 1: sub-block s
  uint8_t scales_l[4];
  uint8_t qs[128];
};

inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);

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

// The sixteen 6-bit scales of Q3_K: low nibbles of the first eight in the low nibbles of bytes 0-7, of the last eight
// in the high ones; bits 2j, 2j + 1 of byte 8 + i are the top two of scale 4j + i.
inline void UnpackQ3Scales(const uint8_t packed[12], uint8_t scale[16]) {
  for (int s = 0; s < 16; ++s) {
    const int low = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4;
    scale[s] = static_cast<uint8_t>(low | (((packed[8 + s % 4] >> (2 * (s / 4))) & 3) << 4));
  }
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_BLOCKS_H_
