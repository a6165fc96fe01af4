// The decoders against a second, slow reading of the formats' description: one weight at a time, straight from bytes.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "engine/base/half.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

using Bytes = std::vector<uint8_t>;

float HalfAt(const uint8_t* p) { return ToFloat(Fp16{static_cast<uint16_t>(p[0] | (p[1] << 8))}); }

int Nibble32(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }
int FifthBit(const uint8_t* qh, int i) { return (qh[i / 8] >> (i % 8)) & 1; }

void ScaleAndMin(const uint8_t* s, int j, int* scale, int* min) {
  if (j < 4) {
    *scale = s[j] & 63;
    *min = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
    *min = (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
  }
}

float Slow4Or5K(const uint8_t* b, int i, bool five) {
  int scale, min;
  ScaleAndMin(b + 4, i / 32, &scale, &min);
  const uint8_t* qs = b + (five ? 48 : 16);
  const uint8_t byte = qs[i / 64 * 32 + i % 32];
  int q = i % 64 < 32 ? byte & 15 : byte >> 4;
  if (five) q += ((b[16 + i % 32] >> (i / 32)) & 1) * 16;
  return HalfAt(b) * static_cast<float>(scale) * static_cast<float>(q) - HalfAt(b + 2) * static_cast<float>(min);
}

float Slow6K(const uint8_t* b, int i) {
  const int half = i / 128, in_half = i % 128, run = in_half / 32, l = in_half % 32;
  const uint8_t low = b[half * 64 + (run % 2) * 32 + l];
  const int nibble = run < 2 ? low & 15 : low >> 4;
  const int top = (b[128 + half * 32 + l] >> (2 * run)) & 3;
  const int scale = static_cast<int8_t>(b[192 + half * 8 + run * 2 + l / 16]);
  return HalfAt(b + 208) * static_cast<float>(scale) * static_cast<float>((nibble | (top << 4)) - 32);
}

float Slow2K(const uint8_t* b, int i) {
  const int q = (b[16 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3;
  const uint8_t scale_min = b[i / 16];
  return HalfAt(b + 80) * static_cast<float>(scale_min & 15) * static_cast<float>(q) -
         HalfAt(b + 82) * static_cast<float>(scale_min >> 4);
}

// The scales' bit pattern as ggml's drawing has it: IIIIAAAA ... PPPPHHHH, then MMIIEEAA ... PPLLHHDD for A ... P.
float Slow3K(const uint8_t* b, int i) {
  const uint8_t* packed = b + 96;
  const int s = i / 16;
  int scale = s < 8 ? packed[s] % 16 : packed[s - 8] / 16;
  const int pair_shift[] = {0, 2, 4, 6};
  scale += 16 * ((packed[8 + (s & 3)] >> pair_shift[s >> 2]) & 3);
  int q = (b[32 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3;
  if (((b[i % 32] >> (i / 32)) & 1) == 0) q -= 4;
  return HalfAt(b + 108) * static_cast<float>(scale - 32) * static_cast<float>(q);
}

int Iq4Value(int code) {
  constexpr int kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return kValues[code];
}

float SlowIq4Xs(const uint8_t* b, int i) {
  const int s = i / 32;
  const int low = s % 2 == 0 ? b[4 + s / 2] % 16 : b[4 + s / 2] / 16;
  const int high = (b[2 + s / 4] >> (s % 4 * 2)) & 3;
  return HalfAt(b) * static_cast<float>(low + 16 * high - 32) *
         static_cast<float>(Iq4Value(Nibble32(b + 8 + 16 * s, i % 32)));
}

// Weight i of a block.
float Slow(QuantFormatId format, const uint8_t* b, int i) {
  switch (format) {
    case QuantFormatId::kQ8_0:
      return HalfAt(b) * static_cast<float>(static_cast<int8_t>(b[2 + i]));
    case QuantFormatId::kQ4_0:
      return HalfAt(b) * static_cast<float>(Nibble32(b + 2, i) - 8);
    case QuantFormatId::kQ4_1:
      return HalfAt(b) * static_cast<float>(Nibble32(b + 4, i)) + HalfAt(b + 2);
    case QuantFormatId::kQ5_0:
      return HalfAt(b) * static_cast<float>(Nibble32(b + 6, i) + 16 * FifthBit(b + 2, i) - 16);
    case QuantFormatId::kQ5_1:
      return HalfAt(b) * static_cast<float>(Nibble32(b + 8, i) + 16 * FifthBit(b + 4, i)) + HalfAt(b + 2);
    case QuantFormatId::kQ4_K:
      return Slow4Or5K(b, i, false);
    case QuantFormatId::kQ5_K:
      return Slow4Or5K(b, i, true);
    case QuantFormatId::kQ6_K:
      return Slow6K(b, i);
    case QuantFormatId::kQ2_K:
      return Slow2K(b, i);
    case QuantFormatId::kQ3_K:
      return Slow3K(b, i);
    case QuantFormatId::kIQ4_NL:
      return HalfAt(b) * static_cast<float>(Iq4Value(Nibble32(b + 2, i)));
    case QuantFormatId::kIQ4_XS:
      return SlowIq4Xs(b, i);
    case QuantFormatId::kCoded:
    case QuantFormatId::kF16:
      return HalfAt(b);
    case QuantFormatId::kBF16:
      return std::bit_cast<float>(static_cast<uint32_t>(b[0] | (b[1] << 8)) << 16);
    case QuantFormatId::kF32: {
      float value;
      std::memcpy(&value, b, 4);
      return value;
    }
  }
  return 0;
}

// NaNs compare by kind: which NaN an operation makes is not part of any format.
void ExpectSame(float got, float want, const std::string& where) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << where;
  } else {
    EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want)) << where << ": " << got << " " << want;
  }
}

Bytes RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

class DecodeEveryFormat : public testing::TestWithParam<QuantFormat> {};

TEST_P(DecodeEveryFormat, RandomBytesGiveTheDescribedWeights) {
  const QuantFormat format = GetParam();
  // An odd start: files promise no alignment.
  const int blocks = format.block_elements == 1 ? 37 : 9;
  const int64_t k = static_cast<int64_t>(blocks) * format.block_elements;
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    const Bytes bytes = RandomBytes(static_cast<size_t>(RowBytes(format.id, k)) + 1, seed);
    std::vector<float> got(static_cast<size_t>(k));
    DecodeRow(format.id, std::as_bytes(std::span(bytes).subspan(1)), got);
    for (int64_t i = 0; i < k; ++i) {
      const uint8_t* block = bytes.data() + 1 + i / format.block_elements * format.block_bytes;
      ExpectSame(got[static_cast<size_t>(i)], Slow(format.id, block, static_cast<int>(i % format.block_elements)),
                 std::string(format.name) + " seed " + std::to_string(seed) + " weight " + std::to_string(i));
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeEveryFormat,
                         testing::ValuesIn(AllQuantFormats().begin(), AllQuantFormats().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Decode, EveryFp16PatternAsTheScalarConversion) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  std::vector<float> got(bits.size());
  DecodeRow(QuantFormatId::kF16, std::as_bytes(std::span(bits)), got);
  for (size_t i = 0; i < bits.size(); ++i) ExpectSame(got[i], ToFloat(Fp16{bits[i]}), std::to_string(i));
}

TEST(Decode, PublishedFp16Values) {
  const uint16_t bits[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0xfc00, 0x8000};
  const float want[] = {1.0f, -2.0f, 65504.0f, 0x1p-24f, 0x1p-14f, INFINITY, -INFINITY, -0.0f};
  std::vector<float> got(std::size(bits));
  DecodeRow(QuantFormatId::kF16, std::as_bytes(std::span(bits)), got);
  for (size_t i = 0; i < std::size(bits); ++i) ExpectSame(got[i], want[i], std::to_string(i));
}

TEST(Decode, DecodeRowsTakesTheRowsAsked) {
  const Bytes bytes = RandomBytes(static_cast<size_t>(6 * RowBytes(QuantFormatId::kQ4_1, 64)), 3);
  WeightMatrix matrix{"w", QuantFormatId::kQ4_1, 6, 64, std::as_bytes(std::span(bytes)), nullptr};
  std::vector<float> all(6 * 64), some(2 * 64 + 1, 42.0f);
  DecodeRows(matrix, 0, 6, all.data());
  DecodeRows(matrix, 3, 5, some.data());
  for (size_t i = 0; i < 128; ++i) ExpectSame(some[i], all[3 * 64 + i], std::to_string(i));
  EXPECT_EQ(some.back(), 42.0f);
  DecodeRows(matrix, 6, 6, nullptr);
}

}  // namespace
}  // namespace bitrate
