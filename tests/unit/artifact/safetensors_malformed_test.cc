// Hostile and damaged safetensors files: each must end in this code with this text, and none in a signal.
#include <gtest/gtest.h>

#include "engine/artifact/safetensors_header.h"
#include "engine/base/limits.h"
#include "tests/unit/artifact/safetensors_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kLost = StatusCode::kDataLoss;
constexpr StatusCode kLimit = StatusCode::kResourceExhausted;
constexpr StatusCode kUnsupported = StatusCode::kFailedPrecondition;

struct Case {
  const char* name;
  StatusCode code;
  const char* text;
  std::string file;
};

std::string Length(uint64_t length, std::string_view rest) {
  std::string out = SafetensorsBytes("", rest);
  std::memcpy(out.data(), &length, sizeof(length));
  return out;
}

std::string One(std::string_view entry, std::string_view data = "1234") {
  return SafetensorsBytes(fmt::format("{{{}}}", entry), data);
}

std::vector<Case> Cases() {
  const auto entry = SafetensorsEntry;
  const std::string good = entry("w", "F32", "[1]", "[0,4]");
  const std::string long_name(limits::kMaxTensorNameBytes + 1, 'n');
  return {
      {"Empty", kLost, "the file has 0 bytes", ""},
      {"SevenBytes", kLost, "the file has 7 bytes", "1234567"},
      {"LengthPastTheEnd", kLost, "length 100", Length(100, "{}")},
      {"LengthOverTheLimit", kLimit, "length 104857601", Length(limits::kMaxSafetensorsHeaderBytes + 1, "{}")},
      {"LengthHuge", kLimit, "length 18446744073709551615", Length(UINT64_MAX, "{}")},
      {"HeaderEmpty", kInvalid, "does not start with '{'", SafetensorsBytes("", "")},
      {"HeaderArray", kInvalid, "does not start with '{'", SafetensorsBytes("[]", "")},
      {"HeaderSpaceFirst", kInvalid, "does not start with '{'", SafetensorsBytes(" {}", "")},
      {"HeaderCut", kInvalid, "malformed JSON", SafetensorsBytes("{\"w\":{\"dtype\":\"F32\"", "")},
      {"HeaderTrailing", kInvalid, "malformed JSON", SafetensorsBytes("{}x", "")},
      {"HeaderTwoObjects", kInvalid, "malformed JSON", SafetensorsBytes("{}{}", "")},
      {"HeaderNotUtf8", kInvalid, "malformed JSON", SafetensorsBytes("{\"\xff\":1}", "")},
      {"HeaderSurrogate", kInvalid, "malformed JSON", SafetensorsBytes("{\"\\ud800\":1}", "")},
      {"HeaderDeep", kInvalid, "tensor a: unexpected an array",
       SafetensorsBytes(fmt::format("{{\"a\":{}", std::string(100'000, '[')), "")},
      {"EntryNumber", kInvalid, "tensor w: unexpected a number", One("\"w\":1")},
      {"EntryNull", kInvalid, "tensor w: unexpected null", One("\"w\":null")},
      {"EntryEmpty", kInvalid, "tensor w: want the fields", One("\"w\":{}")},
      {"EntryNested", kInvalid, "tensor w: unexpected an object", One("\"w\":{\"dtype\":{}}")},
      {"NoDType", kInvalid, "tensor w: want the fields", One("\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}")},
      {"NoShape", kInvalid, "tensor w: want the fields", One("\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}")},
      {"NoOffsets", kInvalid, "tensor w: want the fields", One("\"w\":{\"dtype\":\"F32\",\"shape\":[1]}")},
      {"UnknownField", kInvalid, "unknown field \"stride\"", One("\"w\":{\"stride\":[1]}")},
      {"FieldTwice", kInvalid, "field dtype appears twice", One("\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}")},
      {"DTypeNumber", kInvalid, "tensor w: unexpected a number", One("\"w\":{\"dtype\":1}")},
      {"DTypeUnknown", kUnsupported, "tensor w: dtype Q4 is not supported", One(entry("w", "Q4", "[1]", "[0,4]"))},
      {"DTypeLowerCase", kUnsupported, "dtype f32", One(entry("w", "f32", "[1]", "[0,4]"))},
      {"ShapeNumber", kInvalid, "unexpected a number", One(entry("w", "F32", "1", "[0,4]"))},
      {"ShapeNegative", kInvalid, "negative number -1", One(entry("w", "F32", "[-1]", "[0,4]"))},
      {"ShapeFraction", kInvalid, "number 1.5", One(entry("w", "F32", "[1.5]", "[0,4]"))},
      {"ShapePastU64", kInvalid, "tensor w", One(entry("w", "F32", "[18446744073709551616]", "[0,4]"))},
      {"ShapeHuge", kInvalid, "a dimension of 18446744073709551615",
       One(entry("w", "F32", "[18446744073709551615]", "[0,4]"))},
      {"ShapeWrapsToFour", kInvalid, "more than", One(entry("w", "U8", "[4294967296,4294967296,4]", "[0,4]"))},
      {"ShapeWrapsThenZero", kInvalid, "more than",
       One(entry("w", "U8", "[1099511627776,1099511627776,0]", "[0,0]"), "")},
      {"ShapeRank", kInvalid, "more than 8 dimensions", One(entry("w", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"))},
      {"ShapeNested", kInvalid, "unexpected an array", One(entry("w", "F32", "[[1]]", "[0,4]"))},
      {"ShapeString", kInvalid, "unexpected a string", One(entry("w", "F32", "[\"1\"]", "[0,4]"))},
      {"OffsetsOne", kInvalid, "data_offsets: want 2", One(entry("w", "F32", "[1]", "[0]"))},
      {"OffsetsThree", kInvalid, "data_offsets has more than 2", One(entry("w", "F32", "[1]", "[0,4,8]"))},
      {"OffsetsBackwards", kInvalid, "tensor w: data_offsets [4, 0] run backwards",
       One(entry("w", "F32", "[1]", "[4,0]"))},
      {"OffsetsNegative", kInvalid, "negative number -4", One(entry("w", "F32", "[1]", "[-4,0]"))},
      {"OffsetsNotTheShape", kInvalid, "tensor w: data_offsets span 4 bytes, shape and dtype want 8",
       One(entry("w", "F32", "[2]", "[0,4]"))},
      {"OffsetsPastTheEnd", kLost, "tensor w: data ends at byte 8", One(entry("w", "F32", "[2]", "[0,8]"))},
      {"OffsetsWrap", kInvalid, "tensor w", One(entry("w", "F32", "[1]", "[18446744073709551612,0]"))},
      {"Hole", kInvalid, "tensor w: data starts at 2, want 0 (hole)", One(entry("w", "U8", "[2]", "[2,4]"))},
      {"HoleBetween", kInvalid, "tensor v: data starts at 3, want 2 (hole)",
       One(entry("w", "U8", "[2]", "[0,2]") + "," + entry("v", "U8", "[1]", "[3,4]"))},
      {"Overlap", kInvalid, "(overlap)", One(good + "," + entry("v", "U8", "[2]", "[2,4]"))},
      {"SameBytesTwice", kInvalid, "(overlap)", One(good + "," + entry("v", "F32", "[1]", "[0,4]"))},
      {"BytesLeftOver", kLost, "tensors cover 4 bytes of data, the file has 5", One(good, "12345")},
      {"BytesMissing", kLost, "tensor w: data ends at byte 4, the file has 3", One(good, "123")},
      {"NoTensorsButBytes", kLost, "tensors cover 0 bytes", SafetensorsBytes("{}", "1")},
      {"NameTwice", kInvalid, "tensor w: the name appears twice", One(good + "," + good)},
      {"NameEmpty", kInvalid, "the name is empty", One(entry("", "F32", "[1]", "[0,4]"))},
      {"NameWithNul", kInvalid, "the name has a NUL byte", One(entry("a\\u0000b", "F32", "[1]", "[0,4]"))},
      {"NameLong", kInvalid, "the name has 1025 bytes", One(entry(long_name, "F32", "[1]", "[0,4]"))},
      {"MetadataNumber", kInvalid, "__metadata__: unexpected a number", One("\"__metadata__\":{\"a\":1}," + good)},
      {"MetadataNotAnObject", kInvalid, "__metadata__: unexpected a number", One("\"__metadata__\":1," + good)},
      {"MetadataNested", kInvalid, "__metadata__: unexpected an object", One("\"__metadata__\":{\"a\":{}}," + good)},
      {"MetadataTwice", kInvalid, "__metadata__: appears twice",
       One("\"__metadata__\":{},\"__metadata__\":{}," + good)},
  };
}

class SafetensorsMalformed : public testing::TestWithParam<Case> {};

TEST_P(SafetensorsMalformed, IsRefusedByName) {
  ExpectError(ParseSafetensorsHeader(AsBytes(GetParam().file)).status(), GetParam().code, GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(Cases, SafetensorsMalformed, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(SafetensorsTruncated, AtEveryByte) {
  const std::string header = fmt::format("{{{},{}}}", SafetensorsEntry("a", "F32", "[2]", "[0,8]"),
                                         SafetensorsEntry("b", "BF16", "[2]", "[8,12]"));
  const std::string file = SafetensorsBytes(header, "123456789012");
  ASSERT_TRUE(ParseSafetensorsHeader(AsBytes(file)).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    const Status status = ParseSafetensorsHeader(std::as_bytes(std::span(cut))).status();
    ASSERT_EQ(status.code(), kLost) << size << ": " << status;
  }
}

TEST(SafetensorsFlipped, EveryByteIsSurvived) {
  const std::string header =
      fmt::format("{{\"__metadata__\":{{\"k\":\"v\"}},{}}}", SafetensorsEntry("a", "F32", "[2]", "[0,8]"));
  const std::string file = SafetensorsBytes(header, "12345678");
  for (size_t i = 0; i < file.size(); ++i) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      const Status status = ParseSafetensorsHeader(AsBytes(changed)).status();
      ASSERT_NE(status.code(), StatusCode::kInternal);
      ASSERT_NE(status.code(), StatusCode::kUnknown);
    }
  }
}

}  // namespace
}  // namespace bitrate
