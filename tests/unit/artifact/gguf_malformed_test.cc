// Hostile and damaged GGUF files: each must end in this code with this text, and none in a signal.
#include <gtest/gtest.h>

#include <functional>

#include "engine/artifact/gguf_checkpoint.h"
#include "engine/base/limits.h"
#include "tests/unit/artifact/gguf_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

Status OpenStatus(const std::string& file) {
  return GgufCheckpointFromMapping(MappedFile::FromBytes("test.gguf", AsBytes(file))).status();
}

struct Case {
  const char* name;
  StatusCode code;
  const char* text;
  std::function<void(GgufBuilder&)> change;  // of a good llama file
};

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kLost = StatusCode::kDataLoss;
constexpr StatusCode kLimit = StatusCode::kResourceExhausted;
constexpr StatusCode kUnsupported = StatusCode::kFailedPrecondition;

std::string Nested(int depth) {
  std::string bytes = LittleEndian(uint32_t{0}) + LittleEndian(uint64_t{0});
  for (int i = 1; i < depth; ++i) bytes = LittleEndian(uint32_t{9}) + LittleEndian(uint64_t{1}) + bytes;
  return bytes;
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"Magic", kInvalid, "magic", [](auto& b) { b.magic = "GGML"; }},
      {"VersionOne", kUnsupported, "version 1", [](auto& b) { b.version = 1; }},
      {"VersionFour", kUnsupported, "version 4", [](auto& b) { b.version = 4; }},
      {"BigEndian", kUnsupported, "big-endian", [](auto& b) { b.version = 0x03000000; }},
      {"TensorCountHuge", kLimit, "tensor count", [](auto& b) { b.tensor_count = UINT64_MAX; }},
      {"TensorCountTooHigh", kLost, "tensor count 100000: more than fit",
       [](auto& b) {
         b.tensor_count = 100'000;
         b.tensors.clear();
       }},
      {"EntryCountHuge", kLimit, "metadata count", [](auto& b) { b.entry_count = UINT64_MAX; }},
      {"EntryCountTooHigh", kLost, "metadata count 60000",
       [](auto& b) {
         b.entry_count = 60'000;
         b.tensor_count = 0;
         b.tensors.clear();
       }},
      {"KeyLengthHuge", kLimit, "metadata key", [](auto& b) { b.entries.push_back(LittleEndian(UINT64_MAX)); }},
      {"KeyPastTheEnd", kLost, "metadata key",
       [](auto& b) {
         b.tensors.clear();
         b.entries.push_back(LittleEndian(uint64_t{1000}));
       }},
      {"KeyEmpty", kInvalid, "metadata key 8", [](auto& b) { b.U32("", 1); }},
      {"KeyWithNul", kInvalid, "\\x00", [](auto& b) { b.U32(std::string_view("a\0b", 3), 1); }},
      {"KeyNotUtf8", kInvalid, "\\xff", [](auto& b) { b.U32("a\xff", 1); }},
      {"KeyTwice", kInvalid, "llama.block_count: the key appears twice",
       [](auto& b) { b.U32("llama.block_count", 1); }},
      {"ValueType13", kInvalid, "value type 13", [](auto& b) { b.Raw("x", 13, "1234"); }},
      {"ValueTypeHuge", kInvalid, "x: value type 4294967295", [](auto& b) { b.Raw("x", 0xffffffff, "1234"); }},
      {"BoolOfTwo", kInvalid, "x: a bool of 2", [](auto& b) { b.Scalar("x", GgufType::kBool, uint8_t{2}); }},
      {"BoolArrayOfTwo", kInvalid, "x: a bool of 3", [](auto& b) { b.RawArray("x", 7, 2, "\x01\x03"); }},
      {"StringLengthHuge", kLimit, "value of x", [](auto& b) { b.Raw("x", 8, LittleEndian(UINT64_MAX)); }},
      {"StringPastTheEnd", kLost, "value of x",
       [](auto& b) {
         b.tensors.clear();
         b.Raw("x", 8, LittleEndian(uint64_t{4000}));
       }},
      {"ArrayType", kInvalid, "x: value type 99", [](auto& b) { b.RawArray("x", 99, 1, "1"); }},
      {"ArrayCountHuge", kLimit, "x: an array of", [](auto& b) { b.RawArray("x", 4, UINT64_MAX, ""); }},
      {"ArrayCountWraps", kLimit, "x: an array of",
       [](auto& b) { b.RawArray("x", 10, (uint64_t{1} << 61) + 1, "12345678"); }},
      {"ArrayPastTheEnd", kLost, "array x", [](auto& b) { b.RawArray("x", 4, 3'000'000, "1234"); }},
      {"StringArrayPastTheEnd", kLost, "array x", [](auto& b) { b.RawArray("x", 8, 3'000'000, "1234"); }},
      {"StringArrayElementHuge", kLimit, "array x", [](auto& b) { b.RawArray("x", 8, 1, LittleEndian(UINT64_MAX)); }},
      {"StringArrayElementPastTheEnd", kLost, "array x",
       [](auto& b) {
         b.tensors.clear();
         b.RawArray("x", 8, 1, LittleEndian(uint64_t{4000}));
       }},
      {"ArraysTooDeep", kInvalid, "x: arrays nest deeper than 2", [](auto& b) { b.Raw("x", 9, Nested(3)); }},
      {"ArraysVeryDeep", kInvalid, "x: arrays nest deeper", [](auto& b) { b.Raw("x", 9, Nested(20'000)); }},
      {"ArrayOfArraysPastTheEnd", kLost, "array x", [](auto& b) { b.RawArray("x", 9, 3'000'000, ""); }},
      {"AlignmentZero", kInvalid, "general.alignment: got 0", [](auto& b) { b.U32("general.alignment", 0); }},
      {"AlignmentOdd", kInvalid, "general.alignment: got 24", [](auto& b) { b.U32("general.alignment", 24); }},
      {"AlignmentHuge", kInvalid, "general.alignment", [](auto& b) { b.U32("general.alignment", 0x80000000u); }},
      {"AlignmentOfAnotherType", kInvalid, "general.alignment: got string",
       [](auto& b) { b.Str("general.alignment", "32"); }},
      {"SplitFile", kUnsupported, "split.count", [](auto& b) { b.U32("split.count", 3); }},
      {"NameEmpty", kInvalid, "tensor 0", [](auto& b) { b.tensors[0].name = ""; }},
      {"NameWithNul", kInvalid, "\\x00", [](auto& b) { b.tensors[0].name = std::string("a\0b", 3); }},
      {"NameNotUtf8", kInvalid, "\\xc0", [](auto& b) { b.tensors[0].name = "\xc0\xaf"; }},
      {"NameTwice", kInvalid, "blk.0.attn_q.weight: the name appears twice",
       [](auto& b) { b.tensors[2].name = b.tensors[1].name; }},
      {"CanonicalNameTwice", kInvalid, "a second tensor for model.norm.weight",
       [](auto& b) { b.Add("model.norm.weight", {8}); }},
      {"NoDimensions", kInvalid, "token_embd.weight: 0 dimensions", [](auto& b) { b.tensors[0].dims = {}; }},
      {"ManyDimensions", kInvalid, "token_embd.weight: 9 dimensions", [](auto& b) { b.tensors[0].dims.assign(9, 1); }},
      {"DimensionZero", kInvalid, "token_embd.weight: a dimension of 0",
       [](auto& b) {
         b.tensors[0].dims = {8, 0};
       }},
      {"DimensionHuge", kInvalid, "token_embd.weight: a dimension of",
       [](auto& b) {
         b.tensors[0].dims = {UINT64_MAX, 1};
       }},
      {"DimensionSign", kInvalid, "a dimension of 9223372036854775808",
       [](auto& b) { b.tensors[0].dims = {uint64_t{1} << 63}; }},
      {"ProductWrapsToFour", kInvalid, "more than",
       [](auto& b) {
         b.tensors[0].dims = {uint64_t{1} << 33, (uint64_t{1} << 31) + 1};
       }},
      {"ProductHuge", kInvalid, "more than", [](auto& b) { b.tensors[0].dims.assign(8, uint64_t{1} << 39); }},
      {"TypeRemoved", kUnsupported, "token_embd.weight: type 4 ", [](auto& b) { b.tensors[0].type = 4; }},
      {"TypeHuge", kUnsupported, "type 4294967295", [](auto& b) { b.tensors[0].type = 0xffffffff; }},
      {"RowsOfPartialBlocks", kInvalid, "rows of 8 are not a multiple of the 32",
       [](auto& b) { b.tensors[0].type = 8; }},
      {"RowsOfPartialSuperblocks", kInvalid, "rows of 32 are not a multiple of the 256",
       [](auto& b) {
         b.tensors[0].type = 12;
         b.tensors[0].dims = {32, 8};
       }},
      {"OffsetUnaligned", kInvalid, "token_embd.weight: offset 4", [](auto& b) { b.tensors[0].offset = 4; }},
      {"OffsetPastTheEnd", kLost, "token_embd.weight: 320 bytes at offset 1048576",
       [](auto& b) { b.tensors[0].offset = 1 << 20; }},
      {"OffsetWraps", kLost, "token_embd.weight", [](auto& b) { b.tensors[0].offset = UINT64_MAX - 31; }},
      {"SizePastTheEnd", kLost, "output_norm.weight", [](auto& b) { b.tensors[3].dims = {100'000}; }},
      {"Overlap", kInvalid, "overlap", [](auto& b) { b.tensors[1].offset = 0; }},
      {"OverlapByOneBlock", kInvalid, "overlap",
       [](auto& b) {
         b.tensors[0].dims = {8, 11};
       }},
      {"NoArchitecture", kInvalid, "general.architecture: missing",
       [](auto& b) { b.entries.erase(b.entries.begin()); }},
      {"ArchitectureOfAnotherType", kInvalid, "general.architecture: got u32",
       [](auto& b) {
         b.entries.erase(b.entries.begin());
         b.U32("general.architecture", 1);
       }},
      {"NoEntries", kInvalid, "general.architecture", [](auto& b) { b.entries.clear(); }},
  };
  return cases;
}

class GgufMalformed : public testing::TestWithParam<Case> {};

TEST_P(GgufMalformed, IsRefusedByName) {
  GgufBuilder builder;
  builder.LlamaKeys().LlamaTensors();
  GetParam().change(builder);
  const Status status = OpenStatus(builder.Build());
  ExpectError(status, GetParam().code, GetParam().text);
  EXPECT_NE(ToStd(status.message()).find("test.gguf"), std::string_view::npos) << "the file is not named";
}

INSTANTIATE_TEST_SUITE_P(Cases, GgufMalformed, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GgufTypes, OnesNotSupportedAreRefusedByName) {
  const std::pair<uint32_t, const char*> types[] = {
      {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
      {22, "IQ2_S"}, {24, "I8"},    {25, "I16"},     {26, "I32"},    {27, "I64"},     {28, "F64"},   {29, "IQ1_M"},
      {34, "TQ1_0"}, {35, "TQ2_0"}, {39, "MXFP4"},   {40, "NVFP4"},  {41, "Q1_0"},    {42, "Q2_0"}};
  for (const auto& [type, name] : types) {
    GgufBuilder builder;
    builder.LlamaKeys().LlamaTensors();
    builder.tensors[0].type = type;
    ExpectError(OpenStatus(builder.Build()), kUnsupported,
                fmt::format("token_embd.weight: type {} ({}) is not supported", name, type));
  }
}

TEST(GgufTruncated, AtEveryByte) {
  GgufBuilder builder;
  builder.LlamaKeys().LlamaTensors();
  builder.Strings("tokens", {"a", "b"}).RawArray("numbers", 5, 2, "12345678");
  builder.tensors.back().data.resize(32);
  const std::string file = builder.Build();
  ASSERT_TRUE(OpenStatus(file).ok()) << OpenStatus(file);
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of exactly this size: reading past it is an error that AddressSanitizer sees.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    const Status status = OpenStatus(std::string(cut.data(), cut.size()));
    ASSERT_EQ(status.code(), StatusCode::kDataLoss) << size << " of " << file.size() << ": " << status;
  }
}

TEST(GgufFlipped, EveryByteOfTheHeadIsSurvived) {
  GgufBuilder builder;
  builder.LlamaKeys().LlamaTensors();
  builder.Strings("tokens", {"a", "b"});
  const std::string head = builder.Head(), file = builder.Build();
  for (size_t i = 0; i < head.size(); ++i) {
    for (uint8_t flip : {0x01, 0x80, 0xff}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      const Status status = OpenStatus(changed);
      EXPECT_NE(status.code(), StatusCode::kInternal) << i;
      EXPECT_NE(status.code(), StatusCode::kUnknown) << i;
    }
  }
}

}  // namespace
}  // namespace bitrate
