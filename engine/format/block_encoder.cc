#include "engine/format/block_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/format/blocks.h"

namespace bitrate {
namespace {

// ggml truncates x + 0.5-style sums; the clamp keeps NaN and huge values out of the conversion.
int Truncate(float value, int high) {
  if (!(value > 0.0f)) return 0;
  return value >= static_cast<float>(high) ? high : static_cast<int>(value);
}

// The value of the largest magnitude, with its sign; the first of equals.
float SignedExtreme(const float* x) {
  float extreme = 0.0f;
  for (int i = 0; i < kBlockElements; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

struct Affine {
  float scale, inverse, min;
};

Affine FitAffine(const float* x, int levels) {
  const auto [low, high] = std::minmax_element(x, x + kBlockElements);
  const float scale = (*high - *low) / static_cast<float>(levels);
  return {scale, scale != 0.0f ? 1.0f / scale : 0.0f, *low};
}

// Codes on the grid scale * (q - zero) whose extreme value maps to code 0 exactly.
float EncodeSymmetric(const float* x, int zero, uint8_t* codes) {
  const float scale = SignedExtreme(x) / static_cast<float>(-zero);
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int i = 0; i < kBlockElements; ++i) {
    codes[i] = static_cast<uint8_t>(Truncate(x[i] * inverse + (static_cast<float>(zero) + 0.5f), 2 * zero - 1));
  }
  return scale;
}

void EncodeAffine(const float* x, const Affine& grid, int levels, uint8_t* codes) {
  for (int i = 0; i < kBlockElements; ++i) {
    codes[i] = static_cast<uint8_t>(Truncate((x[i] - grid.min) * grid.inverse + 0.5f, levels));
  }
}

void PackNibbles(const uint8_t* codes, uint8_t* qs) {
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>((codes[j] & 15) | ((codes[j + 16] & 15) << 4));
}

void PackFifthBits(const uint8_t* codes, uint8_t* qh) {
  for (int b = 0; b < 4; ++b) {
    unsigned bits = 0;
    for (int j = 0; j < 8; ++j) bits |= static_cast<unsigned>(codes[8 * b + j] >> 4) << j;
    qh[b] = static_cast<uint8_t>(bits);
  }
}

void Encode(const float* x, BlockQ4_0* block) {
  uint8_t codes[kBlockElements];
  block->d = ToFp16(EncodeSymmetric(x, 8, codes));
  PackNibbles(codes, block->qs);
}

void Encode(const float* x, BlockQ5_0* block) {
  uint8_t codes[kBlockElements];
  block->d = ToFp16(EncodeSymmetric(x, 16, codes));
  PackNibbles(codes, block->qs);
  PackFifthBits(codes, block->qh);
}

void Encode(const float* x, BlockQ4_1* block) {
  uint8_t codes[kBlockElements];
  const Affine grid = FitAffine(x, 15);
  EncodeAffine(x, grid, 15, codes);
  block->d = ToFp16(grid.scale);
  block->m = ToFp16(grid.min);
  PackNibbles(codes, block->qs);
}

void Encode(const float* x, BlockQ5_1* block) {
  uint8_t codes[kBlockElements];
  const Affine grid = FitAffine(x, 31);
  EncodeAffine(x, grid, 31, codes);
  block->d = ToFp16(grid.scale);
  block->m = ToFp16(grid.min);
  PackNibbles(codes, block->qs);
  PackFifthBits(codes, block->qh);
}

void Encode(const float* x, BlockQ8_0* block) {
  const float scale = std::fabs(SignedExtreme(x)) / 127.0f;
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  block->d = ToFp16(scale);
  for (int i = 0; i < kBlockElements; ++i) {
    const float rounded = std::round(x[i] * inverse);  // halves away from zero
    block->qs[i] = static_cast<int8_t>(rounded > -127.0f ? std::min(rounded, 127.0f) : -127.0f);
  }
}

template <typename Block>
void EncodeBlocks(std::span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size() / kBlockElements; ++i) {
    Block block;
    Encode(values.data() + i * kBlockElements, &block);
    std::memcpy(out + i * sizeof(Block), &block, sizeof(Block));
  }
}

template <auto kConvert>
void EncodeHalves(std::span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = kConvert(values[i]).bits;
    std::memcpy(out + i * sizeof(bits), &bits, sizeof(bits));
  }
}

}  // namespace

bool HasBlockEncoder(QuantFormatId format) { return GetQuantFormat(format).block_elements != kSuperblockElements; }

void EncodeRow(QuantFormatId format, std::span<const float> values, std::span<std::byte> out) {
  BITRATE_CHECK(HasBlockEncoder(format));
  BITRATE_CHECK(static_cast<int64_t>(out.size()) == RowBytes(format, static_cast<int64_t>(values.size())));
  switch (format) {
    case QuantFormatId::kF32:
      if (!values.empty()) std::memcpy(out.data(), values.data(), values.size_bytes());
      return;
    case QuantFormatId::kF16:
      return EncodeHalves<ToFp16>(values, out.data());
    case QuantFormatId::kBF16:
      return EncodeHalves<ToBf16>(values, out.data());
    case QuantFormatId::kQ8_0:
      return EncodeBlocks<BlockQ8_0>(values, out.data());
    case QuantFormatId::kQ4_0:
      return EncodeBlocks<BlockQ4_0>(values, out.data());
    case QuantFormatId::kQ4_1:
      return EncodeBlocks<BlockQ4_1>(values, out.data());
    case QuantFormatId::kQ5_0:
      return EncodeBlocks<BlockQ5_0>(values, out.data());
    case QuantFormatId::kQ5_1:
      return EncodeBlocks<BlockQ5_1>(values, out.data());
    default:
      return;  // refused above
  }
}

}  // namespace bitrate
