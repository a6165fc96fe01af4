// The formats of 256-weight superblocks whose codes are even steps: Q2_K to Q6_K.
#include "engine/format/blocks.h"
#include "engine/format/decode.h"

namespace bitrate::decode {
namespace {

// out[j] = scale * codes[j] - min over one sub-block of 32.
inline void ScaleMinusMin(float scale, float min, const uint8_t* __restrict codes, float* __restrict out) {
  for (int j = 0; j < 32; ++j) out[j] = scale * static_cast<float>(static_cast<int>(codes[j])) - min;
}

}  // namespace

void RowQ4_K(const std::byte* row, int64_t k, float* out) {
  uint8_t scales[8], mins[8], low[32], high[32];
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockQ4_K>(row, b);
    const float d = ToFloat(block.d), dmin = ToFloat(block.dmin);
    UnpackSuperblockScales(block.scales, scales, mins);
    for (int c = 0; c < 4; ++c, out += 64) {
      const uint8_t* qs = block.qs + 32 * c;
      for (int j = 0; j < 32; ++j) low[j] = qs[j] & 15;
      for (int j = 0; j < 32; ++j) high[j] = qs[j] >> 4;
      ScaleMinusMin(d * scales[2 * c], dmin * mins[2 * c], low, out);
      ScaleMinusMin(d * scales[2 * c + 1], dmin * mins[2 * c + 1], high, out + 32);
    }
  }
}

void RowQ5_K(const std::byte* row, int64_t k, float* out) {
  uint8_t scales[8], mins[8], low[32], high[32];
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockQ5_K>(row, b);
    const float d = ToFloat(block.d), dmin = ToFloat(block.dmin);
    UnpackSuperblockScales(block.scales, scales, mins);
    for (int c = 0; c < 4; ++c, out += 64) {
      const uint8_t* qs = block.qs + 32 * c;
      const int shift = 2 * c;
      for (int j = 0; j < 32; ++j) low[j] = (qs[j] & 15) | (((block.qh[j] >> shift) & 1) << 4);
      for (int j = 0; j < 32; ++j) high[j] = (qs[j] >> 4) | (((block.qh[j] >> (shift + 1)) & 1) << 4);
      ScaleMinusMin(d * scales[2 * c], dmin * mins[2 * c], low, out);
      ScaleMinusMin(d * scales[2 * c + 1], dmin * mins[2 * c + 1], high, out + 32);
    }
  }
}

void RowQ6_K(const std::byte* row, int64_t k, float* __restrict out) {
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockQ6_K>(row, b);
    const float d = ToFloat(block.d);
    for (int half = 0; half < 2; ++half) {
      const uint8_t* qh = block.qh + 32 * half;
      for (int j = 0; j < 4; ++j) {  // 32 weights: nibbles of one ql run, bit pair j of qh
        const uint8_t* ql = block.ql + 64 * half + 32 * (j & 1);
        const int nibble = j < 2 ? 0 : 4;
        for (int s = 0; s < 2; ++s, out += 16) {  // 16 weights of one scale
          const float scale = d * static_cast<float>(block.scales[8 * half + 2 * j + s]);
          for (int l = 0; l < 16; ++l) {
            const int code = ((ql[16 * s + l] >> nibble) & 15) | (((qh[16 * s + l] >> (2 * j)) & 3) << 4);
            out[l] = scale * static_cast<float>(code - 32);
          }
        }
      }
    }
  }
}

void RowQ2_K(const std::byte* row, int64_t k, float* __restrict out) {
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockQ2_K>(row, b);
    const float d = ToFloat(block.d), dmin = ToFloat(block.dmin);
    for (int s = 0; s < 16; ++s, out += 16) {  // 16 weights: half s / 8, bit pair (s % 8) / 2, run s % 2
      const float scale = d * static_cast<float>(block.scales[s] & 15);
      const float min = dmin * static_cast<float>(block.scales[s] >> 4);
      const uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
      const int shift = s % 8 / 2 * 2;
      for (int l = 0; l < 16; ++l) out[l] = scale * static_cast<float>((qs[l] >> shift) & 3) - min;
    }
  }
}

void RowQ3_K(const std::byte* row, int64_t k, float* __restrict out) {
  uint8_t scales[16];
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockQ3_K>(row, b);
    const float d = ToFloat(block.d);
    UnpackQ3Scales(block.scales, scales);
    for (int s = 0; s < 16; ++s, out += 16) {  // as in Q2_K
      const float scale = d * static_cast<float>(scales[s] - 32);
      const uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
      const uint8_t* hmask = block.hmask + 16 * (s % 2);
      const int shift = s % 8 / 2 * 2;
      for (int l = 0; l < 16; ++l) {
        const int code = ((qs[l] >> shift) & 3) | (((hmask[l] >> (s / 2)) & 1) << 2);
        out[l] = scale * static_cast<float>(code - 4);
      }
    }
  }
}

}  // namespace bitrate::decode
