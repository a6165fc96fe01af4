// Hugging Face folders: what opens, and what an index, a link or a configuration must not get away with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/hf_checkpoint.h"
#include "tests/unit/artifact/gguf_builder.h"
#include "tests/unit/artifact/safetensors_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using testing::ElementsAre;

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kUnsupported = StatusCode::kFailedPrecondition;
constexpr StatusCode kMalformed = StatusCode::kInvalidArgument;

std::string Shard(const std::string& name, char value) {
  return SafetensorsBytes("{" + SafetensorsEntry(name, "U8", "[1]", "[0,1]") + "}", std::string(1, value));
}

std::string Index(const std::string& map) { return "{\"metadata\":{},\"weight_map\":{" + map + "}}"; }

Status OpenStatus(const TempFolder& folder) { return Checkpoint::Open(folder.path()).status(); }

TEST(HfFolder, SingleFile) {
  const TempFolder folder;
  folder.Write("config.json", R"({"model_type":"llama"})");
  folder.Write("generation_config.json", R"({"eos_token_id":[2,3]})");
  folder.Write("tokenizer.json", "{\"t\":1}");
  folder.Write("tokenizer_config.json", "{\"c\":1}");
  folder.Write("chat_template.jinja", "hello");
  folder.Write("model.safetensors", SafetensorsBytes("{" + SafetensorsEntry("ids", "I64", "[1]", "[0,8]") + "," +
                                                         SafetensorsEntry("w", "F16", "[1,2]", "[8,12]") + "," +
                                                         SafetensorsEntry("v", "BF16", "[1]", "[12,14]") + "}",
                                                     std::string("12345678\x00\x3c\x00\xc0\x80\x3f", 14)));
  const auto opened = Checkpoint::Open(folder.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.kind(), Checkpoint::Kind::kHuggingFace);
  EXPECT_EQ(checkpoint.path(), folder.path());
  EXPECT_EQ(checkpoint.config()["generation_eos_token_id"], nlohmann::json({2, 3}));
  EXPECT_EQ(checkpoint.tokenizer_json(), "{\"t\":1}");
  EXPECT_EQ(checkpoint.tokenizer_config_json(), "{\"c\":1}");
  EXPECT_EQ(checkpoint.chat_template_jinja(), "hello");
  EXPECT_EQ(checkpoint.gguf_metadata(), nullptr);
  ASSERT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.tensors()[0].type_name, "I64");
  EXPECT_FALSE(checkpoint.tensors()[0].is_weight);
  const auto matrix = checkpoint.Matrix("w");
  ASSERT_TRUE(matrix.ok()) << matrix.status();
  EXPECT_EQ(matrix->format, QuantFormatId::kF16);
  EXPECT_EQ(matrix->n, 1);
  EXPECT_EQ(matrix->k, 2);
  EXPECT_THAT(*checkpoint.Decode("w", nullptr), ElementsAre(1, -2));
  EXPECT_THAT(*checkpoint.Vector("v"), ElementsAre(1));
  ExpectError(checkpoint.Vector("ids").status(), kUnsupported, "ids: type I64 is not usable as a weight");
  ExpectError(checkpoint.Decode("ids", nullptr).status(), kUnsupported, "ids: type I64");
}

TEST(HfFolder, OptionalFilesMayBeAbsent) {
  const TempFolder folder;
  folder.Write("config.json", "{}");
  folder.Write("generation_config.json", R"({"eos_token_id":5})");
  folder.Write("model.safetensors", Shard("a", 1));
  const auto opened = Checkpoint::Open(folder.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->tokenizer_json(), "");
  EXPECT_EQ((*opened)->config()["generation_eos_token_id"], nlohmann::json({5}));
  EXPECT_THAT(*(*opened)->Decode("a", nullptr), ElementsAre(1));
}

TEST(HfFolder, Shards) {
  const TempFolder folder;
  folder.Write("config.json", "{}");
  folder.Write("model-1.safetensors", Shard("a", 1));
  folder.Write("sub/model-2.safetensors", Shard("b", 2));
  folder.Write("model.safetensors.index.json", Index(R"("b":"sub/model-2.safetensors","a":"model-1.safetensors")"));
  const auto opened = Checkpoint::Open(folder.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT(*(*opened)->Decode("a", nullptr), ElementsAre(1));
  EXPECT_THAT(*(*opened)->Decode("b", nullptr), ElementsAre(2));
}

struct IndexCase {
  const char* name;
  StatusCode code;
  const char* text;
  const char* index;
};

class HfIndex : public testing::TestWithParam<IndexCase> {};

TEST_P(HfIndex, IsRefusedByName) {
  const TempFolder folder;
  folder.Write("outside.safetensors", Shard("a", 1));
  folder.Write("model/config.json", "{}");
  folder.Write("model/one.safetensors", Shard("a", 1));
  folder.Write("model/same.safetensors", Shard("a", 2));
  folder.Write("model/model.safetensors.index.json", GetParam().index);
  ExpectError(Checkpoint::Open(folder.path() + "/model").status(), GetParam().code, GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, HfIndex,
    testing::ValuesIn(std::vector<IndexCase>{
        {"Parent", kInvalid, "leaves the model folder", R"({"weight_map":{"a":"../outside.safetensors"}})"},
        {"ParentInside", kInvalid, "leaves the model folder", R"({"weight_map":{"a":"x/../../outside.safetensors"}})"},
        {"Dot", kInvalid, "leaves the model folder", R"({"weight_map":{"a":"./one.safetensors"}})"},
        {"DoubleSlash", kInvalid, "leaves the model folder", R"({"weight_map":{"a":"x//one.safetensors"}})"},
        {"Absolute", kInvalid, "is absolute", R"({"weight_map":{"a":"/etc/passwd"}})"},
        {"Backslash", kInvalid, "has a backslash", R"({"weight_map":{"a":"..\\outside.safetensors"}})"},
        {"Nul", kInvalid, "has a NUL byte", "{\"weight_map\":{\"a\":\"one.safetensors\\u0000.txt\"}}"},
        {"NameEmpty", kInvalid, "is empty", R"({"weight_map":{"a":""}})"},
        {"MissingShard", StatusCode::kNotFound, "two.safetensors", R"({"weight_map":{"a":"two.safetensors"}})"},
        {"ShardIsTheFolder", kInvalid, "leaves the model folder", R"({"weight_map":{"a":"."}})"},
        {"MissingTensor", kInvalid, "tensor b is not in one.safetensors", R"({"weight_map":{"b":"one.safetensors"}})"},
        {"TensorInTwoShards", kInvalid, "a: the name appears twice",
         R"({"weight_map":{"a":"one.safetensors","b":"same.safetensors"}})"},
        {"FileNumber", kInvalid, "weight_map.a: got number", R"({"weight_map":{"a":1}})"},
        {"NoMap", kInvalid, "weight_map: missing", R"({"metadata":{}})"},
        {"MapIsArray", kInvalid, "weight_map: got array", R"({"weight_map":[]})"},
        {"MapEmpty", kInvalid, "weight_map is empty", R"({"weight_map":{}})"},
        {"NotJson", kInvalid, "malformed JSON", "weight_map"},
        {"ConfigAsShard", StatusCode::kDataLoss, "safetensors header", R"({"weight_map":{"a":"config.json"}})"},
    }),
    [](const auto& info) { return std::string(info.param.name); });

TEST(HfFolder, LinksMayNotLeaveTheFolder) {
  const TempFolder folder;
  const std::string secret = folder.Write("secret.safetensors", Shard("a", 1));
  folder.Write("model/config.json", "{}");
  std::filesystem::create_symlink(secret, folder.path() + "/model/model.safetensors");
  ExpectError(Checkpoint::Open(folder.path() + "/model").status(), kInvalid, "symbolic link that leaves");
}

TEST(HfFolder, ConfigMayNotBeALinkOutEither) {
  const TempFolder folder;
  const std::string secret = folder.Write("secret.json", "{}");
  folder.Write("model/model.safetensors", Shard("a", 1));
  std::filesystem::create_symlink(secret, folder.path() + "/model/config.json");
  ExpectError(Checkpoint::Open(folder.path() + "/model").status(), kInvalid, "symbolic link that leaves");
}

TEST(HfFolder, LinksInsideAndTheCacheLayoutAreFine) {
  const TempFolder folder;
  folder.Write("blobs/abc", Shard("a", 7));
  folder.Write("snapshots/rev/real.json", "{}");
  std::filesystem::create_symlink("real.json", folder.path() + "/snapshots/rev/config.json");
  std::filesystem::create_symlink("../../blobs/abc", folder.path() + "/snapshots/rev/model.safetensors");
  const auto opened = Checkpoint::Open(folder.path() + "/snapshots/rev");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_THAT(*(*opened)->Decode("a", nullptr), ElementsAre(7));
}

TEST(HfFolder, QuantizedFoldersNeedTheirTensors) {
  const std::tuple<const char*, StatusCode, const char*> kConfigs[] = {
      {R"({"quantization_config":{"quant_method":"gptq","bits":4}})", kMalformed,
       "gptq, but no tensor is named *.qweight"},
      {R"({"quantization_config":{"quant_method":"awq"}})", kMalformed, "awq, but no tensor is named *.qweight"},
      {R"({"quantization_config":{"quant_method":"bitsandbytes"}})", kMalformed, "bitsandbytes, but no tensor"},
      {R"({"compression_config":{"quant_method":"compressed-tensors"}})", kMalformed, "config_groups"},
      {R"({"quantization_config":{"quant_method":"hqq"}})", kUnsupported, "quant_method: hqq is not supported"},
      {R"({"quantization_config":{}})", kMalformed, "quant_method"},
      {R"({"quantization_config":[]})", kMalformed, "quantization_config"},
  };
  for (const auto& [config, code, text] : kConfigs) {
    const TempFolder folder;
    folder.Write("config.json", config);
    folder.Write("model.safetensors", Shard("a", 1));
    ExpectError(OpenStatus(folder), code, text);
  }
  const TempFolder folder;
  folder.Write("config.json", R"({"quantization_config":null})");
  folder.Write("model.safetensors", Shard("a", 1));
  EXPECT_TRUE(OpenStatus(folder).ok());
  folder.Write("quantize_config.json", "{}");
  ExpectError(OpenStatus(folder), kMalformed, "gptq, but no tensor");
  folder.Write("quantize_config.json", "[]");
  ExpectError(OpenStatus(folder), kMalformed, "quantize_config.json: got array");
}

TEST(HfFolder, BadConfigs) {
  const std::pair<const char*, const char*> kConfigs[] = {{"", "config.json: malformed JSON"},
                                                          {"[]", "config.json: got array"},
                                                          {"{\"a\":", "config.json: malformed JSON"}};
  for (const auto& [config, text] : kConfigs) {
    const TempFolder folder;
    folder.Write("config.json", config);
    ExpectError(OpenStatus(folder), kInvalid, text);
  }
}

TEST(HfFolder, WeightsMissing) {
  const TempFolder folder;
  folder.Write("config.json", "{}");
  ExpectError(OpenStatus(folder), StatusCode::kNotFound, "neither model.safetensors nor");
  folder.Write("pytorch_model.bin", "x");
  ExpectError(OpenStatus(folder), kUnsupported, "pickled weights");
}

TEST(CheckpointOpen, ChoosesByContent) {
  const TempFolder folder;
  ExpectError(OpenStatus(folder), StatusCode::kNotFound, "neither config.json nor a .gguf");
  GgufBuilder builder;
  builder.Str("general.architecture", "other").Add("a", {1});
  const std::string file = folder.Write("a.gguf", builder.Build());
  const auto opened = Checkpoint::Open(folder.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->kind(), Checkpoint::Kind::kGguf);
  EXPECT_NE((*opened)->gguf_metadata(), nullptr);
  EXPECT_EQ((*Checkpoint::Open(file))->digest(), (*opened)->digest());
  folder.Write("b.gguf", "x");
  ExpectError(OpenStatus(folder), kInvalid, "has 2 .gguf files");
}

TEST(CheckpointOpen, BadPaths) {
  const TempFolder folder;
  ExpectError(Checkpoint::Open("").status(), kInvalid, "model path");
  ExpectError(Checkpoint::Open(std::string("a\0b", 3)).status(), kInvalid, "model path");
  ExpectError(Checkpoint::Open(folder.path() + "/absent.gguf").status(), StatusCode::kNotFound, "absent.gguf");
  ExpectError(Checkpoint::Open(folder.path() + "/" + std::string(5000, 'x')).status(), kInvalid, "cannot open");
  ExpectError(Checkpoint::Open(folder.Write("m.safetensors", "x")).status(), kInvalid, "one file of a model");
  ExpectError(Checkpoint::Open(folder.Write("empty.gguf", "")).status(), StatusCode::kDataLoss, "GGUF magic");
  ExpectError(Checkpoint::Open(folder.Write("text.gguf", "hello world")).status(), kInvalid, "GGUF magic");
  ASSERT_EQ(mkfifo((folder.path() + "/pipe.gguf").c_str(), 0600), 0);
  ExpectError(Checkpoint::Open(folder.path() + "/pipe.gguf").status(), kInvalid, "not a regular file");
}

}  // namespace
}  // namespace bitrate
