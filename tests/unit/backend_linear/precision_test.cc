#include "engine/format/precision.h"

#include <gtest/gtest.h>

namespace bitrate {
namespace {

TEST(PrecisionTest, CanonicalNamesRoundTrip) {
  for (const char* name :
       {"fp32", "bf16", "fp16", "int8", "int8-token", "int8-w8a16", "int4", "int4-w4a16", "int4-g32", "int4-g64",
        "int4-g128", "int4-g64-asym", "int4-g32-min", "int4-g128-w4a16", "int4-g32-asym-w4a16"}) {
    const StatusOr<Precision> p = Precision::Parse(name);
    ASSERT_TRUE(p.ok()) << name;
    EXPECT_EQ(p->Name(), name);
    EXPECT_EQ(*Precision::Parse(p->Name()), *p);
  }
}

TEST(PrecisionTest, OtherSpellingsHaveACanonicalName) {
  EXPECT_EQ(Precision::Parse("int4-sym")->Name(), "int4-g64");
  EXPECT_EQ(Precision::Parse("int4-g64-sym")->Name(), "int4-g64");
  EXPECT_EQ(Precision::Parse("int4-asym")->Name(), "int4-g64-asym");
  EXPECT_EQ(Precision::Parse("int4-min-w4a16")->Name(), "int4-g64-min-w4a16");
}

TEST(PrecisionTest, FieldsOfInt4) {
  const Precision plain = *Precision::Parse("int4");
  EXPECT_TRUE(plain.keep_source_grid);
  EXPECT_EQ(plain.group_size, 64);
  EXPECT_EQ(plain.activations, Precision::Activations::kInt8Groups);
  const Precision forced = *Precision::Parse("int4-g128-asym-w4a16");
  EXPECT_FALSE(forced.keep_source_grid);
  EXPECT_EQ(forced.group_size, 128);
  EXPECT_EQ(forced.offset, Int4Offset::kZero);
  EXPECT_EQ(forced.activations, Precision::Activations::kFloat);
}

TEST(PrecisionTest, ActivationNames) {
  EXPECT_EQ(Precision::Parse("fp16")->ActivationName(), "f32");
  EXPECT_EQ(Precision::Parse("bf16")->ActivationName(), "bf16");
  EXPECT_EQ(Precision::Parse("int4")->ActivationName(), "int8-group");
  EXPECT_EQ(Precision::Parse("int8-token")->ActivationName(), "int8-token");
  EXPECT_EQ(Precision::Parse("int8-w8a16")->ActivationName(), "f32");
}

TEST(PrecisionTest, UnknownNamesAreInvalid) {
  for (const char* name : {"", "fp8", "int4-", "int4-g16", "int4-g64-", "int4-sym-g64", "int4-w4a16-sym", "int8-g64",
                           "INT4", "int4 ", "int4-g640"}) {
    const StatusOr<Precision> p = Precision::Parse(name);
    ASSERT_FALSE(p.ok()) << name;
    EXPECT_EQ(p.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace bitrate
