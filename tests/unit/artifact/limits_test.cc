// Each bound of limits.h that the readers use: at the limit it passes, one past it is refused by name.
#include "engine/base/limits.h"

#include <gtest/gtest.h>

#include "engine/artifact/gguf_file.h"
#include "engine/artifact/hf_checkpoint.h"
#include "engine/artifact/mapped_file.h"
#include "engine/artifact/safetensors_header.h"
#include "tests/unit/artifact/gguf_builder.h"
#include "tests/unit/artifact/safetensors_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kLimit = StatusCode::kResourceExhausted;

Status ParseStatus(const GgufBuilder& builder) { return ParseGguf(AsBytes(builder.Build())).status(); }
Status HeaderStatus(const std::string& entry, const std::string& data) {
  return ParseSafetensorsHeader(AsBytes(SafetensorsBytes("{" + entry + "}", data))).status();
}

GgufBuilder WithEntries(uint64_t count) {
  GgufBuilder builder;
  for (uint64_t i = 0; i < count; ++i) builder.Scalar(std::to_string(i), GgufType::kU8, uint8_t{0});
  return builder;
}

TEST(Limits, GgufMetadataEntries) {
  EXPECT_TRUE(ParseStatus(WithEntries(limits::kMaxMetadataEntries)).ok());
  ExpectError(ParseStatus(WithEntries(limits::kMaxMetadataEntries + 1)), kLimit, "metadata count 65537");
}

TEST(Limits, GgufArrayElements) {
  const auto with = [](uint64_t count) {
    GgufBuilder builder;
    return builder.RawArray("x", 0, count, std::string(count, 'x'));
  };
  EXPECT_TRUE(ParseStatus(with(limits::kMaxMetadataArrayElements)).ok());
  ExpectError(ParseStatus(with(limits::kMaxMetadataArrayElements + 1)), kLimit, "x: an array of 4000001");
}

TEST(Limits, GgufStringBytes) {
  const auto with = [](uint64_t size) {
    GgufBuilder builder;
    return builder.Str("x", std::string(size, 'x'));
  };
  EXPECT_TRUE(ParseStatus(with(limits::kMaxStringBytes)).ok());
  ExpectError(ParseStatus(with(limits::kMaxStringBytes + 1)), kLimit, "value of x: a string of");
}

TEST(Limits, GgufNames) {
  const auto with = [](uint64_t key, uint64_t name) {
    GgufBuilder builder;
    return builder.U32(std::string(key, 'k'), 1).Add(std::string(name, 'n'), {1});
  };
  EXPECT_TRUE(ParseStatus(with(limits::kMaxTensorNameBytes, limits::kMaxTensorNameBytes)).ok());
  ExpectError(ParseStatus(with(limits::kMaxTensorNameBytes + 1, 1)), kLimit, "metadata key");
  ExpectError(ParseStatus(with(1, limits::kMaxTensorNameBytes + 1)), kLimit, "tensor name");
}

TEST(Limits, GgufDimensions) {
  const auto with = [](int rank) {
    GgufBuilder builder;
    return builder.Add("x", std::vector<uint64_t>(static_cast<size_t>(rank), 1));
  };
  EXPECT_TRUE(ParseStatus(with(limits::kMaxTensorDims)).ok());
  ExpectError(ParseStatus(with(limits::kMaxTensorDims + 1)), kInvalid, "x: 9 dimensions");
}

TEST(Limits, GgufArrayDepth) {
  const std::string flat = LittleEndian(uint32_t{0}) + LittleEndian(uint64_t{1}) + "x";
  const std::string two = LittleEndian(uint32_t{9}) + LittleEndian(uint64_t{1}) + flat;
  const std::string three = LittleEndian(uint32_t{9}) + LittleEndian(uint64_t{1}) + two;
  static_assert(limits::kMaxMetadataArrayDepth == 2);
  EXPECT_TRUE(ParseStatus(GgufBuilder().Raw("x", 9, two)).ok());
  ExpectError(ParseStatus(GgufBuilder().Raw("x", 9, three)), kInvalid, "nest deeper than 2");
}

TEST(Limits, TensorElements) {
  // The size is checked before the bytes: at the limit the file is only too short.
  const auto with = [](uint64_t rows) {
    GgufBuilder builder;
    builder.Add("x", {1});
    builder.tensors[0].dims = {uint64_t{1} << 20, rows};
    return builder;
  };
  ExpectError(ParseStatus(with(uint64_t{1} << 20)), StatusCode::kDataLoss, "x: ");
  ExpectError(ParseStatus(with((uint64_t{1} << 20) + 1)), kInvalid, "x: more than 1099511627776 elements");
  ExpectError(HeaderStatus(SafetensorsEntry("x", "U8", "[1048576,1048576]", "[0,1099511627776]"), ""),
              StatusCode::kDataLoss, "x: data ends");
  ExpectError(HeaderStatus(SafetensorsEntry("x", "U8", "[1048576,1048577]", "[0,1099512676352]"), ""), kInvalid,
              "x: shape has more than");
}

TEST(Limits, SafetensorsNamesAndDimensions) {
  const std::string name(limits::kMaxTensorNameBytes, 'n');
  EXPECT_TRUE(HeaderStatus(SafetensorsEntry(name, "U8", "[1]", "[0,1]"), "x").ok());
  ExpectError(HeaderStatus(SafetensorsEntry(name + "n", "U8", "[1]", "[0,1]"), "x"), kInvalid, "1025 bytes");
  EXPECT_TRUE(HeaderStatus(SafetensorsEntry("x", "U8", "[1,1,1,1,1,1,1,1]", "[0,1]"), "x").ok());
  ExpectError(HeaderStatus(SafetensorsEntry("x", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), "x"), kInvalid, "8 dimensions");
}

std::string EmptyTensors(uint64_t count) {
  std::string entries;
  for (uint64_t i = 0; i < count; ++i) {
    if (i > 0) entries += ",";
    entries += SafetensorsEntry(std::to_string(i), "U8", "[0]", "[0,0]");
  }
  return entries;
}

TEST(Limits, Tensors) {
  EXPECT_TRUE(HeaderStatus(EmptyTensors(limits::kMaxTensors), "").ok());
  ExpectError(HeaderStatus(EmptyTensors(limits::kMaxTensors + 1), ""), kLimit, "more than 200000 tensors");
  GgufBuilder builder;
  builder.tensor_count = limits::kMaxTensors;
  ExpectError(ParseStatus(builder), StatusCode::kDataLoss, "tensor count 200000");
  builder.tensor_count = limits::kMaxTensors + 1;
  ExpectError(ParseStatus(builder), kLimit, "tensor count 200001");
}

TEST(Limits, SafetensorsHeaderBytes) {
  const auto status = [](uint64_t length) {
    std::string file = SafetensorsBytes("", "{}");
    std::memcpy(file.data(), &length, sizeof(length));
    return ParseSafetensorsHeader(AsBytes(file)).status();
  };
  ExpectError(status(limits::kMaxSafetensorsHeaderBytes), StatusCode::kDataLoss, "length 104857600");
  ExpectError(status(limits::kMaxSafetensorsHeaderBytes + 1), kLimit, "length 104857601");
}

std::string ShardMap(uint64_t shards) {
  std::string map = "{\"weight_map\":{";
  for (uint64_t i = 0; i < shards; ++i) {
    map += fmt::format("{}\"t{}\":\"f{}.safetensors\"", i == 0 ? "" : ",", i, i);
  }
  return map + "}}";
}

TEST(Limits, Shards) {
  EXPECT_TRUE(ParseShardIndex(ShardMap(limits::kMaxShards)).ok());
  ExpectError(ParseShardIndex(ShardMap(limits::kMaxShards + 1)).status(), kLimit, "4097 shards");
}

TEST(Limits, TextFiles) {
  const TempFolder folder;
  const std::string file = folder.Write("a.txt", "12345");
  EXPECT_EQ(*ReadTextFile(file, 5), "12345");
  ExpectError(ReadTextFile(file, 4).status(), kLimit, "5 bytes, the limit is 4");
}

}  // namespace
}  // namespace bitrate
