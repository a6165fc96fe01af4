// The formats of 32-weight blocks: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
#include "engine/format/blocks.h"
#include "engine/format/decode.h"

namespace bitrate::decode {
namespace {

// codes [32] u8: element j from the low nibbles, element j + 16 from the high ones.
inline void UnpackNibbles(const uint8_t* __restrict qs, uint8_t* __restrict codes) {
  for (int j = 0; j < 16; ++j) codes[j] = qs[j] & 15;
  for (int j = 0; j < 16; ++j) codes[j + 16] = qs[j] >> 4;
}

// Adds the fifth bits: byte b of qh covers elements 8b .. 8b + 7.
inline void AddFifthBits(const uint8_t* __restrict qh, uint8_t* __restrict codes) {
  for (int b = 0; b < 4; ++b) {
    for (int j = 0; j < 8; ++j) codes[8 * b + j] |= static_cast<uint8_t>(((qh[b] >> j) & 1) << 4);
  }
}

inline void ScaleMinusOffset(float d, int offset, const uint8_t* __restrict codes, float* __restrict out) {
  for (int j = 0; j < kBlockElements; ++j) out[j] = d * static_cast<float>(codes[j] - offset);
}

inline void ScalePlusMin(float d, float m, const uint8_t* __restrict codes, float* __restrict out) {
  for (int j = 0; j < kBlockElements; ++j) out[j] = d * static_cast<float>(static_cast<int>(codes[j])) + m;
}

}  // namespace

void RowQ8_0(const std::byte* row, int64_t k, float* __restrict out) {
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockQ8_0>(row, b);
    const float d = ToFloat(block.d);
    for (int j = 0; j < kBlockElements; ++j) out[j] = d * static_cast<float>(block.qs[j]);
  }
}

void RowQ4_0(const std::byte* row, int64_t k, float* out) {
  uint8_t codes[kBlockElements];
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockQ4_0>(row, b);
    UnpackNibbles(block.qs, codes);
    ScaleMinusOffset(ToFloat(block.d), 8, codes, out);
  }
}

void RowQ4_1(const std::byte* row, int64_t k, float* out) {
  uint8_t codes[kBlockElements];
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockQ4_1>(row, b);
    UnpackNibbles(block.qs, codes);
    ScalePlusMin(ToFloat(block.d), ToFloat(block.m), codes, out);
  }
}

void RowQ5_0(const std::byte* row, int64_t k, float* out) {
  uint8_t codes[kBlockElements];
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockQ5_0>(row, b);
    UnpackNibbles(block.qs, codes);
    AddFifthBits(block.qh, codes);
    ScaleMinusOffset(ToFloat(block.d), 16, codes, out);
  }
}

void RowQ5_1(const std::byte* row, int64_t k, float* out) {
  uint8_t codes[kBlockElements];
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockQ5_1>(row, b);
    UnpackNibbles(block.qs, codes);
    AddFifthBits(block.qh, codes);
    ScalePlusMin(ToFloat(block.d), ToFloat(block.m), codes, out);
  }
}

}  // namespace bitrate::decode
