// Well-formed GGUF files: every value type, tensors, names, permuted rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/artifact/gguf_checkpoint.h"
#include "engine/artifact/gguf_file.h"
#include "engine/format/reference_codec.h"
#include "tests/unit/artifact/gguf_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using testing::ElementsAre;

GgufMetadata Parse(const std::string& file) {
  StatusOr<GgufFile> parsed = ParseGguf(AsBytes(file));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? std::move(parsed->metadata) : GgufMetadata();
}

std::shared_ptr<const Checkpoint> OpenBytes(const std::string& file) {
  auto checkpoint = GgufCheckpointFromMapping(MappedFile::FromBytes("test.gguf", AsBytes(file)));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

TEST(GgufMetadata, ScalarsOfEveryType) {
  GgufBuilder builder;
  builder.Scalar("u8", GgufType::kU8, uint8_t{200}).Scalar("i8", GgufType::kI8, int8_t{-100});
  builder.Scalar("u16", GgufType::kU16, uint16_t{60000}).Scalar("i16", GgufType::kI16, int16_t{-30000});
  builder.Scalar("u32", GgufType::kU32, uint32_t{4000000000}).Scalar("i32", GgufType::kI32, int32_t{-2000000000});
  builder.Scalar("u64", GgufType::kU64, UINT64_MAX).Scalar("i64", GgufType::kI64, INT64_MIN);
  builder.F32("f32", 1.5f).Scalar("f64", GgufType::kF64, -2.25).Scalar("yes", GgufType::kBool, uint8_t{1});
  builder.Str("text", "caf\xc3\xa9");
  const std::string file = builder.Build();
  const GgufMetadata metadata = Parse(file);
  EXPECT_EQ(*metadata.GetU64("u8"), 200u);
  EXPECT_EQ(*metadata.GetI64("i8"), -100);
  EXPECT_EQ(*metadata.GetU64("u16"), 60000u);
  EXPECT_EQ(*metadata.GetI64("i16"), -30000);
  EXPECT_EQ(*metadata.GetU64("u32"), 4000000000u);
  EXPECT_EQ(*metadata.GetI64("i32"), -2000000000);
  EXPECT_EQ(*metadata.GetU64("u64"), UINT64_MAX);
  EXPECT_EQ(*metadata.GetI64("i64"), INT64_MIN);
  EXPECT_EQ(*metadata.GetF64("f32"), 1.5);
  EXPECT_EQ(*metadata.GetF64("f64"), -2.25);
  EXPECT_EQ(*metadata.GetBool("yes"), true);
  EXPECT_EQ(*metadata.GetString("text"), "caf\xc3\xa9");
  EXPECT_EQ(metadata.keys().size(), 12u);
  EXPECT_EQ(metadata.keys().front(), "u8");
}

TEST(GgufMetadata, Arrays) {
  GgufBuilder builder;
  builder.Strings("tokens", {"a", "", "b c"});
  builder.RawArray("i32", 5, 3, LittleEndian(int32_t{-1}) + LittleEndian(int32_t{0}) + LittleEndian(int32_t{7}));
  builder.RawArray("u8", 0, 2, std::string("\x01\xff", 2));
  builder.RawArray("f32", 6, 2, LittleEndian(0.5f) + LittleEndian(-1.0f));
  builder.RawArray("empty", 6, 0, "");
  const std::string inner = LittleEndian(uint32_t{0}) + LittleEndian(uint64_t{2}) + "xy";
  builder.RawArray("nested", 9, 2, inner + inner);
  const std::string file = builder.Build();
  const GgufMetadata metadata = Parse(file);
  EXPECT_THAT(*metadata.GetStringArray("tokens"), ElementsAre("a", "", "b c"));
  EXPECT_THAT(*metadata.GetIntArray("i32"), ElementsAre(-1, 0, 7));
  EXPECT_THAT(*metadata.GetIntArray("u8"), ElementsAre(1, 255));
  EXPECT_THAT(*metadata.GetFloatArray("f32"), ElementsAre(0.5f, -1.0f));
  EXPECT_TRUE(metadata.GetFloatArray("empty")->empty());
  EXPECT_EQ(metadata.TypeText("nested"), "array[2]");
  EXPECT_EQ(metadata.Describe("tokens", 2), "[\"a\", \"\", ...]");
  EXPECT_EQ(metadata.Describe("i32"), "[-1, 0, 7]");
}

TEST(GgufMetadata, OtherTypesAreErrorsNotReinterpretations) {
  GgufBuilder builder;
  builder.U32("number", 7).Str("text", "x").F32("float", 1);
  builder.Scalar("negative", GgufType::kI32, int32_t{-1}).Scalar("huge", GgufType::kU64, UINT64_MAX);
  builder.RawArray("bytes", 1, 4, "abcd").RawArray("wide", 10, 1, LittleEndian(UINT64_MAX));
  const std::string file = builder.Build();
  const GgufMetadata metadata = Parse(file);
  ExpectError(metadata.GetString("number").status(), StatusCode::kInvalidArgument, "number: got u32, want a string");
  ExpectError(metadata.GetU64("text").status(), StatusCode::kInvalidArgument, "text: got string, want an integer");
  ExpectError(metadata.GetU64("float").status(), StatusCode::kInvalidArgument, "float: got f32");
  ExpectError(metadata.GetF64("number").status(), StatusCode::kInvalidArgument, "number: got u32");
  ExpectError(metadata.GetBool("number").status(), StatusCode::kInvalidArgument, "want a bool");
  ExpectError(metadata.GetFloatArray("bytes").status(), StatusCode::kInvalidArgument, "bytes: got i8[4]");
  ExpectError(metadata.GetStringArray("bytes").status(), StatusCode::kInvalidArgument, "want an array of strings");
  ExpectError(metadata.GetIntArray("text").status(), StatusCode::kInvalidArgument, "text: got string");
  ExpectError(metadata.GetU64("negative").status(), StatusCode::kInvalidArgument, "negative: got -1");
  ExpectError(metadata.GetI64("huge").status(), StatusCode::kInvalidArgument, "huge");
  ExpectError(metadata.GetIntArray("wide").status(), StatusCode::kInvalidArgument, "wide: element 0");
  ExpectError(metadata.GetString("absent").status(), StatusCode::kNotFound, "absent: missing");
  EXPECT_EQ(*metadata.GetU64Or("absent", 5), 5u);
  ExpectError(metadata.GetU64Or("text", 5).status(), StatusCode::kInvalidArgument, "text: got string");
}

TEST(GgufMetadata, StringsPointIntoTheFile) {
  GgufBuilder builder;
  std::vector<std::string> tokens(60'000, "token");
  const std::string file = builder.Strings("tokens", tokens).Build();
  EXPECT_EQ(Parse(file).GetStringArray("tokens")->size(), 60'000u);
}

// [experts, rows, columns] is read as a matrix for each expert, in place.
TEST(Gguf, StackedExpertsAreMatricesOfTheirOwn) {
  for (const QuantFormat& format : AllQuantFormats()) {
    GgufBuilder builder;
    builder.LlamaKeys().LlamaTensors().U32("llama.expert_count", 3);
    builder.Add("blk.0.ffn_down_exps.weight", {256, 2, 3}, format.id);
    const std::string file = builder.Build();
    const auto checkpoint = OpenBytes(file);
    const std::string& stack = builder.tensors.back().data;
    for (int i = 0; i < 3; ++i) {
      const std::string name = "model.layers.0.block_sparse_moe.experts." + std::to_string(i) + ".w2.weight";
      const auto matrix = checkpoint->Matrix(name);
      ASSERT_TRUE(matrix.ok()) << matrix.status();
      EXPECT_EQ(matrix->n, 2);
      EXPECT_EQ(matrix->k, 256);
      const std::string_view got(reinterpret_cast<const char*>(matrix->data.data()), matrix->data.size());
      EXPECT_EQ(got, stack.substr(static_cast<size_t>(i) * stack.size() / 3, stack.size() / 3)) << format.name;
      EXPECT_TRUE(checkpoint->Decode("blk.0.ffn_down_exps.weight[" + std::to_string(i) + "]", nullptr).ok());
    }
    EXPECT_EQ(checkpoint->tensors().size(), builder.tensors.size() + 2);
  }
}

TEST(Gguf, TensorsOfEveryFormat) {
  GgufBuilder builder;
  builder.Str("general.architecture", "other");
  for (const QuantFormat& format : AllQuantFormats()) builder.Add(format.name, {256, 2}, format.id);
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  ASSERT_EQ(checkpoint->tensors().size(), AllQuantFormats().size());
  for (size_t i = 0; i < checkpoint->tensors().size(); ++i) {
    const TensorInfo& info = checkpoint->tensors()[i];
    const QuantFormat& format = AllQuantFormats()[i];
    EXPECT_EQ(info.name, format.name);
    EXPECT_EQ(info.type_name, format.name);
    EXPECT_THAT(info.shape, ElementsAre(2, 256));
    EXPECT_EQ(info.bytes, static_cast<uint64_t>(2 * RowBytes(format.id, 256)));
    const auto matrix = checkpoint->Matrix(info.name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(matrix->data.data()), matrix->data.size()),
              builder.tensors[i].data);
  }
}

TEST(Gguf, AlignmentIsTheFilesOwn) {
  GgufBuilder builder;
  builder.alignment = 64;
  builder.Str("general.architecture", "other").U32("general.alignment", 64);
  builder.AddFloats("a", {3}, {1, 2, 3}).AddFloats("b", {2}, {4, 5});
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  EXPECT_THAT(*checkpoint->Vector("a"), ElementsAre(1, 2, 3));
  EXPECT_THAT(*checkpoint->Vector("b"), ElementsAre(4, 5));
}

TEST(Gguf, VersionTwoHasTheSameLayout) {
  GgufBuilder builder;
  builder.version = 2;
  builder.Str("general.architecture", "other").AddFloats("a", {2}, {1, 2});
  const std::string file = builder.Build();
  EXPECT_THAT(*OpenBytes(file)->Vector("a"), ElementsAre(1, 2));
}

TEST(Gguf, UnknownArchitectureOpensForInspection) {
  GgufBuilder builder;
  builder.Str("general.architecture", "mamba").AddFloats("blk.0.attn_q.weight", {2, 2}, {1, 2, 3, 4});
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  EXPECT_EQ(checkpoint->config().dump(), R"({"model_type":"mamba"})");
  EXPECT_EQ(checkpoint->tensors()[0].canonical_name, "blk.0.attn_q.weight");
  std::vector<int64_t> shape;
  EXPECT_THAT(*checkpoint->Decode("blk.0.attn_q.weight", &shape), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(shape, ElementsAre(2, 2));
}

// The converter writes row h*D + 2i + j from row h*D + j*D/2 + i. Two heads of 4: rows 0 2 1 3 | 4 6 5 7.
constexpr float kHfRows[] = {0, 1, 2, 3, 4, 5, 6, 7};
const std::vector<float> kStoredRows = {0, 2, 1, 3, 4, 6, 5, 7};

TEST(Gguf, LlamaQueryAndKeyRowsAreUnpermuted) {
  GgufBuilder builder;
  builder.LlamaKeys();
  std::vector<float> q, k;
  for (float row : kStoredRows) q.insert(q.end(), 8, row);
  for (int row : {0, 2, 1, 3}) k.insert(k.end(), 8, static_cast<float>(row));
  builder.AddFloats("blk.0.attn_q.weight", {8, 8}, q).AddFloats("blk.0.attn_k.weight", {8, 4}, k);
  builder.AddFloats("blk.0.attn_v.weight", {8, 8}, q).AddFloats("blk.0.attn_q.bias", {8}, kStoredRows);
  builder.AddFloats("token_embd.weight", {8, 1}, std::vector<float>(8));
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  const std::string layer = "model.layers.0.self_attn.";
  const auto query = checkpoint->Decode(layer + "q_proj.weight", nullptr);
  for (size_t row = 0; row < 8; ++row) EXPECT_EQ((*query)[row * 8], kHfRows[row]);
  const auto key = checkpoint->Matrix(layer + "k_proj.weight");
  std::vector<float> key_values(32);
  DecodeRows(*key, 0, 4, key_values.data());
  for (size_t row = 0; row < 4; ++row) EXPECT_EQ(key_values[row * 8], kHfRows[row]);
  EXPECT_THAT(*checkpoint->Vector(layer + "q_proj.bias"), testing::ElementsAreArray(kHfRows));
  // Values keep their order, and so does everything asked for by the name in the file.
  EXPECT_EQ(*checkpoint->Decode(layer + "v_proj.weight", nullptr), q);
  EXPECT_EQ(*checkpoint->Decode("blk.0.attn_q.weight", nullptr), q);
  EXPECT_EQ(*checkpoint->Decode("blk.0.attn_q.bias", nullptr), kStoredRows);
  EXPECT_FALSE(checkpoint->Has("blk.0.attn_q.weight"));
}

TEST(Gguf, OtherArchitecturesKeepTheirRows) {
  GgufBuilder builder;
  builder.LlamaKeys("qwen2").AddFloats("blk.0.attn_q.bias", {8}, kStoredRows);
  builder.AddFloats("token_embd.weight", {8, 1}, std::vector<float>(8));
  const std::string file = builder.Build();
  EXPECT_EQ(*OpenBytes(file)->Vector("model.layers.0.self_attn.q_proj.bias"), kStoredRows);
}

TEST(Gguf, QuantizedRowsMoveWhole) {
  GgufBuilder builder;
  builder.LlamaKeys().Add("blk.0.attn_q.weight", {64, 8}, QuantFormatId::kQ4_1);
  builder.AddFloats("token_embd.weight", {8, 1}, std::vector<float>(8));
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  const auto matrix = checkpoint->Matrix("model.layers.0.self_attn.q_proj.weight");
  const size_t row_bytes = 40;
  for (size_t row = 0; row < 8; ++row) {
    // kStoredRows is its own inverse.
    const size_t stored = static_cast<size_t>(kStoredRows[row]);
    EXPECT_EQ(std::memcmp(matrix->data.data() + row * row_bytes, builder.tensors[0].data.data() + stored * row_bytes,
                          row_bytes),
              0);
  }
}

TEST(Gguf, MatrixAndVectorCheckTheRank) {
  GgufBuilder builder;
  builder.Str("general.architecture", "other").Add("cube", {2, 2, 2}).Add("line", {4});
  const std::string file = builder.Build();
  const auto checkpoint = OpenBytes(file);
  ExpectError(checkpoint->Matrix("cube").status(), StatusCode::kInvalidArgument, "cube: shape [2, 2, 2]");
  ExpectError(checkpoint->Matrix("line").status(), StatusCode::kInvalidArgument, "line: shape [4]");
  ExpectError(checkpoint->Vector("cube").status(), StatusCode::kInvalidArgument, "want one dimension");
  ExpectError(checkpoint->Matrix("nothing").status(), StatusCode::kNotFound, "nothing");
  ExpectError(checkpoint->Decode("nothing", nullptr).status(), StatusCode::kNotFound, "nothing");
}

TEST(Gguf, DigestSeesNamesTypesShapesAndSize) {
  const auto digest = [](auto change) {
    GgufBuilder builder;
    builder.Str("general.architecture", "other").Add("a", {8, 2});
    change(builder);
    const std::string file = builder.Build();
    return OpenBytes(file)->digest();
  };
  const std::string base = digest([](GgufBuilder&) {});
  EXPECT_EQ(base.size(), 32u);
  EXPECT_EQ(base, digest([](GgufBuilder&) {}));
  EXPECT_EQ(base, digest([](GgufBuilder& b) { b.tensors[0].data[0] ^= 1; }));
  EXPECT_NE(base, digest([](GgufBuilder& b) { b.tensors[0].name = "b"; }));
  EXPECT_NE(base, digest([](GgufBuilder& b) { b.tensors[0].dims = {2, 8}; }));
  EXPECT_NE(base, digest([](GgufBuilder& b) { b.tensors[0].type = 1; }));
  EXPECT_NE(base, digest([](GgufBuilder& b) { b.after = std::string(32, 'x'); }));
}

}  // namespace
}  // namespace bitrate
