#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "engine/base/half.h"
#include "engine/format/blocks.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

struct Stored {
  std::vector<uint8_t> bytes;
  WeightMatrix matrix;
};

// Random codes with scales that are finite: what files hold.
Stored RandomMatrix(QuantFormatId format, int64_t n, int64_t k, uint32_t seed) {
  Stored stored;
  const QuantFormat& row = GetQuantFormat(format);
  stored.bytes.resize(static_cast<size_t>(n * RowBytes(format, k)));
  std::mt19937 random(seed);
  for (uint8_t& b : stored.bytes) b = static_cast<uint8_t>(random());
  for (size_t block = 0; block < stored.bytes.size(); block += static_cast<size_t>(row.block_bytes)) {
    for (int half = 0; half < 2; ++half) {  // d and, where there is one, the minimum
      if (half == 1 && format == QuantFormatId::kQ4_0) continue;
      const Fp16 value = ToFp16(std::uniform_real_distribution<float>(-0.1f, 0.1f)(random));
      std::memcpy(stored.bytes.data() + block + 2 * static_cast<size_t>(half), &value, 2);
    }
  }
  stored.matrix = {"w", format, n, k, std::as_bytes(std::span(stored.bytes)), nullptr};
  return stored;
}

void ExpectExact(const WeightMatrix& matrix, int64_t begin, int64_t end) {
  const Int4Matrix packed = RepackToInt4(matrix, begin, end);
  EXPECT_EQ(packed.n, end - begin);
  EXPECT_EQ(packed.k, matrix.k);
  EXPECT_EQ(packed.group_size, 32);
  const size_t count = static_cast<size_t>(packed.n * packed.k);
  ASSERT_EQ(packed.codes.size(), count);
  ASSERT_EQ(packed.scale.size(), static_cast<size_t>(packed.n * packed.num_groups()));
  std::vector<float> want(count), got(count);
  DecodeRows(matrix, begin, end, want.data());
  Dequantize(packed, got.data());
  if (count > 0) {
    EXPECT_EQ(std::memcmp(want.data(), got.data(), count * sizeof(float)), 0);
  }
  for (uint8_t code : packed.codes) ASSERT_LE(code, 15);
}

TEST(RepackInt4, IsExactToTheBit) {
  for (QuantFormatId format : {QuantFormatId::kQ4_0, QuantFormatId::kQ4_1, QuantFormatId::kQ4_K}) {
    ASSERT_TRUE(IsFourBitGrid(format));
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const Stored stored = RandomMatrix(format, 5, 512, seed);
      ExpectExact(stored.matrix, 0, 5);
      ExpectExact(stored.matrix, 2, 4);
      ExpectExact(stored.matrix, 3, 3);
    }
  }
}

TEST(RepackInt4, KeepsTheKindOfOffset) {
  const Int4Matrix q4_0 = RepackToInt4(RandomMatrix(QuantFormatId::kQ4_0, 1, 64, 1).matrix, 0, 1);
  EXPECT_EQ(q4_0.offset, Int4Offset::kSymmetric);
  EXPECT_TRUE(q4_0.fp16_exact);
  EXPECT_TRUE(q4_0.min.empty());
  const Int4Matrix q4_1 = RepackToInt4(RandomMatrix(QuantFormatId::kQ4_1, 1, 64, 1).matrix, 0, 1);
  EXPECT_EQ(q4_1.offset, Int4Offset::kMin);
  EXPECT_TRUE(q4_1.fp16_exact);
  EXPECT_EQ(q4_1.min.size(), 2u);
}

TEST(RepackInt4, SaysWhetherProductsOfQ4KFitFp16) {
  // Scale products of random blocks need more than 11 bits.
  EXPECT_FALSE(RepackToInt4(RandomMatrix(QuantFormatId::kQ4_K, 1, 256, 1).matrix, 0, 1).fp16_exact);
  // Powers of two times 6-bit integers do not.
  Stored stored = RandomMatrix(QuantFormatId::kQ4_K, 1, 256, 1);
  const Fp16 power = ToFp16(0.0625f);
  std::memcpy(stored.bytes.data(), &power, 2);
  std::memcpy(stored.bytes.data() + 2, &power, 2);
  EXPECT_TRUE(RepackToInt4(stored.matrix, 0, 1).fp16_exact);
}

TEST(RepackInt4, GridsAreWhatTheirNamesSay) {
  for (const QuantFormat& format : AllQuantFormats()) {
    const bool four = format.name == "Q4_0" || format.name == "Q4_1" || format.name == "Q4_K";
    EXPECT_EQ(IsFourBitGrid(format.id), four) << format.name;
    EXPECT_EQ(IsEightBitGrid(format.id), format.name == "Q8_0") << format.name;
  }
}

}  // namespace
}  // namespace bitrate
