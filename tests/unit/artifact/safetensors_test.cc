// Well-formed safetensors files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/artifact/safetensors_file.h"
#include "tests/unit/artifact/safetensors_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using testing::ElementsAre;

TEST(Safetensors, EveryDTypeIsListed) {
  // Name and element bytes as the format's description has them.
  const std::pair<const char*, int> kTypes[] = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"U64", 8},     {"I32", 4},     {"U32", 4},
      {"I16", 2}, {"U16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};
  std::string header = "{";
  int offset = 0;
  for (const auto& [type, bytes] : kTypes) {
    if (offset > 0) header += ",";
    const int end = offset + 3 * bytes;
    header += SafetensorsEntry(type, type, "[3]", "[" + std::to_string(offset) + "," + std::to_string(end) + "]");
    offset = end;
  }
  const std::string file = SafetensorsBytes(header + "}", std::string(static_cast<size_t>(offset), 'x'));
  const auto parsed = ParseSafetensorsHeader(AsBytes(file));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->tensors.size(), std::size(kTypes));
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    const SafetensorsTensor& tensor = parsed->tensors[i];
    EXPECT_EQ(tensor.dtype_name, kTypes[i].first);
    EXPECT_EQ(tensor.end - tensor.begin, static_cast<uint64_t>(3 * kTypes[i].second));
    EXPECT_EQ(tensor.dtype.has_value(), !tensor.dtype_name.starts_with("F8_")) << tensor.dtype_name;
    if (tensor.dtype) {
      EXPECT_EQ(SafetensorsDTypeName(*tensor.dtype), tensor.dtype_name);
      EXPECT_EQ(DTypeBytes(*tensor.dtype), static_cast<size_t>(kTypes[i].second));
    }
  }
}

TEST(Safetensors, MetadataScalarsEmptyTensorsAndPadding) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\",\"n\":\"1\"}," + SafetensorsEntry("b", "F32", "[]", "[0,4]") + "," +
      SafetensorsEntry("empty", "F32", "[3,0]", "[4,4]") + "," + SafetensorsEntry("c", "U8", "[2,1]", "[4,6]") + "}  ";
  const std::string file = SafetensorsBytes(header, "123456");
  const auto parsed = ParseSafetensorsHeader(AsBytes(file));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->metadata.at("format"), "pt");
  EXPECT_THAT(parsed->tensors[0].shape, ElementsAre());
  EXPECT_EQ(parsed->tensors[1].name, "empty");
  EXPECT_THAT(parsed->tensors[2].shape, ElementsAre(2, 1));
  EXPECT_EQ(parsed->tensors[2].begin, 8 + header.size() + 4);
}

TEST(Safetensors, TensorsComeInTheOrderOfTheirBytes) {
  const std::string header = "{" + SafetensorsEntry("late", "U8", "[2]", "[1,3]") + "," +
                             SafetensorsEntry("early", "U8", "[1]", "[0,1]") + "}";
  const std::string file = SafetensorsBytes(header, "123");
  const auto parsed = ParseSafetensorsHeader(AsBytes(file));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->tensors[0].name, "early");
  EXPECT_EQ(parsed->tensors[1].name, "late");
}

TEST(Safetensors, NoTensorsAtAll) { EXPECT_TRUE(ParseSafetensorsHeader(AsBytes(SafetensorsBytes("{}", ""))).ok()); }

TEST(Safetensors, FloatsConvertExactly) {
  const std::string header =
      "{" + SafetensorsEntry("h", "F16", "[2]", "[0,4]") + "," + SafetensorsEntry("b", "BF16", "[1]", "[4,6]") + "}";
  const TempFolder folder;
  // 1.0 and -2.0 in fp16, 1.0 in bf16.
  const auto file = SafetensorsFile::Open(
      folder.Write("a.safetensors", SafetensorsBytes(header, std::string("\x00\x3c\x00\xc0\x80\x3f", 6))));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*(*file)->Floats("h"), ElementsAre(1.0f, -2.0f));
  EXPECT_THAT(*(*file)->Floats("b"), ElementsAre(1.0f));
  ExpectError((*file)->Floats("x").status(), StatusCode::kNotFound, "tensor x");
}

}  // namespace
}  // namespace bitrate
