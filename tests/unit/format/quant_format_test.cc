#include "engine/format/quant_format.h"

#include <gtest/gtest.h>

#include <set>

namespace bitrate {
namespace {

// Type id, bytes and weights of a block as the GGUF documentation lists them.
struct Published {
  QuantFormatId id;
  const char* name;
  uint32_t gguf_type;
  int bytes, elements;
  double bits_per_weight;
};
constexpr Published kPublished[] = {
    {QuantFormatId::kF32, "F32", 0, 4, 1, 32.0},
    {QuantFormatId::kF16, "F16", 1, 2, 1, 16.0},
    {QuantFormatId::kBF16, "BF16", 30, 2, 1, 16.0},
    {QuantFormatId::kQ8_0, "Q8_0", 8, 34, 32, 8.5},
    {QuantFormatId::kQ4_0, "Q4_0", 2, 18, 32, 4.5},
    {QuantFormatId::kQ4_1, "Q4_1", 3, 20, 32, 5.0},
    {QuantFormatId::kQ5_0, "Q5_0", 6, 22, 32, 5.5},
    {QuantFormatId::kQ5_1, "Q5_1", 7, 24, 32, 6.0},
    {QuantFormatId::kQ4_K, "Q4_K", 12, 144, 256, 4.5},
    {QuantFormatId::kQ5_K, "Q5_K", 13, 176, 256, 5.5},
    {QuantFormatId::kQ6_K, "Q6_K", 14, 210, 256, 6.5625},
    {QuantFormatId::kQ2_K, "Q2_K", 10, 84, 256, 2.625},
    {QuantFormatId::kQ3_K, "Q3_K", 11, 110, 256, 3.4375},
    {QuantFormatId::kIQ4_NL, "IQ4_NL", 20, 18, 32, 4.5},
    {QuantFormatId::kIQ4_XS, "IQ4_XS", 23, 136, 256, 4.25},
};

TEST(QuantFormat, TableMatchesThePublishedOne) {
  ASSERT_EQ(AllQuantFormats().size(), std::size(kPublished));
  for (const Published& want : kPublished) {
    const QuantFormat& got = GetQuantFormat(want.id);
    EXPECT_EQ(got.id, want.id);
    EXPECT_EQ(got.name, want.name);
    EXPECT_EQ(got.gguf_type, want.gguf_type) << want.name;
    EXPECT_EQ(got.block_bytes, want.bytes) << want.name;
    EXPECT_EQ(got.block_elements, want.elements) << want.name;
    EXPECT_EQ(got.bits_per_weight, want.bits_per_weight) << want.name;
    EXPECT_EQ(QuantFormatFromGgufType(want.gguf_type), want.id) << want.name;
  }
}

TEST(QuantFormat, OtherGgufTypesAreUnknown) {
  std::set<uint32_t> known;
  for (const Published& row : kPublished) known.insert(row.gguf_type);
  for (uint32_t type : {4u, 5u, 9u, 15u, 16u, 19u, 21u, 24u, 34u, 39u, 40u, 1000u, 0xffffffffu}) {
    ASSERT_FALSE(known.contains(type));
    EXPECT_FALSE(QuantFormatFromGgufType(type).has_value()) << type;
  }
}

TEST(QuantFormat, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(RowBytes(QuantFormatId::kQ4_1, 576), 576 / 32 * 20);
  EXPECT_EQ(RowBytes(QuantFormatId::kQ6_K, 512), 420);
  EXPECT_EQ(RowBytes(QuantFormatId::kBF16, 7), 14);
  EXPECT_EQ(RowBytes(QuantFormatId::kQ8_0, 0), 0);
}

TEST(QuantFormatDeathTest, RowOfPartialBlocksIsAProgrammerError) {
  EXPECT_DEATH(RowBytes(QuantFormatId::kQ4_K, 128), "CHECK failed");
}

}  // namespace
}  // namespace bitrate
