// PEFT adapters: the golden ones, which PEFT itself wrote, and hostile ones. Rules of matching and scaling: PEFT's.
#include "engine/artifact/peft_adapter.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/base/limits.h"
#include "tests/unit/artifact/safetensors_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kUnsupported = StatusCode::kFailedPrecondition;

std::string Golden(const std::string& name) { return BITRATE_GOLDEN_DIR "/lora/" + name + "/adapter"; }

const LoraModule* Find(const PeftAdapter& adapter, std::string_view name) {
  for (const LoraModule& module : adapter.modules) {
    if (module.name == name) return &module;
  }
  return nullptr;
}

json Config(const json& more = json::object()) {
  json config = {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"target_modules", {"q_proj"}}};
  if (more.is_object()) config.update(more);
  return config;
}

StatusOr<PeftConfig> Parse(const json& more) { return PeftConfig::Parse(Config(more).dump()); }

// A safetensors file of f32 tensors whose elements are all `value`.
std::string Tensors(const std::vector<std::pair<std::string, std::vector<int>>>& tensors, float value = 0.5f) {
  std::string header = "{", data;
  for (const auto& [name, shape] : tensors) {
    size_t count = 1;
    for (const int dim : shape) count *= static_cast<size_t>(dim);
    if (header.size() > 1) header += ",";
    header +=
        SafetensorsEntry(name, "F32", json(shape).dump(), fmt::format("[{},{}]", data.size(), data.size() + count * 4));
    for (size_t i = 0; i < count; ++i) data.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return SafetensorsBytes(header + "}", data);
}

const std::string kQ = "base_model.model.model.layers.0.self_attn.q_proj";
const std::vector<std::pair<std::string, std::vector<int>>> kPair = {{kQ + ".lora_A.weight", {2, 3}},
                                                                     {kQ + ".lora_B.weight", {4, 2}}};

StatusOr<PeftAdapter> Make(const json& more, const std::string& file) {
  const auto tensors = SafetensorsFile::FromMapping(MappedFile::FromBytes("x", AsBytes(file)));
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  return MakePeftAdapter("x", Config(more).dump(), **tensors);
}

TEST(PeftAdapter, GoldenAllLinears) {
  const auto adapter = ReadPeftAdapter(Golden("fp32_all"));
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ(adapter->modules.size(), 14u);
  const LoraModule* down = Find(*adapter, "model.layers.1.mlp.down_proj");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->rank, 8);
  EXPECT_EQ(down->k, 192);
  EXPECT_EQ(down->n, 128);
  EXPECT_EQ(down->scale, 2.0f);
  EXPECT_TRUE(down->bias.empty());
  const auto file = SafetensorsFile::Open(Golden("fp32_all") + "/adapter_model.safetensors");
  EXPECT_EQ(down->a, *(*file)->Floats("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"));
  EXPECT_EQ(down->b, *(*file)->Floats("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"));
}

TEST(PeftAdapter, GoldenPatternsAndScales) {
  const auto patterns = ReadPeftAdapter(Golden("fp32_qv_alpha_pattern"));
  ASSERT_TRUE(patterns.ok()) << patterns.status();
  EXPECT_EQ(patterns->modules.size(), 4u);
  EXPECT_EQ(Find(*patterns, "model.layers.0.self_attn.q_proj")->rank, 4);
  EXPECT_EQ(Find(*patterns, "model.layers.0.self_attn.q_proj")->scale, 4.0f);
  EXPECT_EQ(Find(*patterns, "model.layers.1.self_attn.q_proj")->scale, 2.0f);
  EXPECT_EQ(Find(*patterns, "model.layers.1.self_attn.v_proj")->scale, 4.0f);
  const auto rslora = ReadPeftAdapter(Golden("fp32_rslora"));
  ASSERT_TRUE(rslora.ok()) << rslora.status();
  EXPECT_FLOAT_EQ(rslora->modules[0].scale, 16.0f / std::sqrt(8.0f));
  const auto layers = ReadPeftAdapter(Golden("fp32_layers_to_transform"));
  ASSERT_TRUE(layers.ok()) << layers.status();
  EXPECT_EQ(layers->modules.size(), 2u);
  EXPECT_FALSE(*layers->config.Targets("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(*layers->config.Targets("model.layers.1.self_attn.q_proj"));
  const auto bias = ReadPeftAdapter(Golden("fp32_lora_bias"));
  ASSERT_TRUE(bias.ok()) << bias.status();
  EXPECT_EQ(bias->modules[0].bias.size(), 128u);
}

TEST(PeftAdapter, GoldenThatAreRefusedByName) {
  ExpectError(ReadPeftAdapter(Golden("fp32_dora")).status(), kUnsupported, "adapter_config.json: use_dora: got true");
  ExpectError(ReadPeftAdapter(Golden("fp32_modules_to_save")).status(), kUnsupported,
              "modules_to_save: got [\"lm_head\",\"embed_tokens\"]");
}

TEST(PeftAdapter, Folders) {
  const TempFolder folder;
  ExpectError(ReadPeftAdapter(folder.path() + "/none").status(), StatusCode::kNotFound, "none");
  ExpectError(ReadPeftAdapter(folder.path()).status(), StatusCode::kNotFound, "no adapter_config.json");
  folder.Write("adapter_config.json", Config().dump());
  ExpectError(ReadPeftAdapter(folder.path()).status(), StatusCode::kNotFound, "adapter_model.safetensors");
  folder.Write("adapter_model.bin", "PK");
  ExpectError(ReadPeftAdapter(folder.path()).status(), kUnsupported, "adapter_model.bin: pickled");
  folder.Write("adapter_model.safetensors", Tensors(kPair));
  EXPECT_TRUE(ReadPeftAdapter(folder.path()).ok()) << ReadPeftAdapter(folder.path()).status();
  folder.Write("adapter_config.json", std::string(limits::kMaxAdapterConfigBytes + 1, ' '));
  ExpectError(ReadPeftAdapter(folder.path()).status(), StatusCode::kResourceExhausted, "adapter_config.json");
}

TEST(PeftConfig, WhatIsTargeted) {
  const auto targets = [](const json& more, std::string_view module) {
    const auto config = Parse(more);
    EXPECT_TRUE(config.ok()) << config.status();
    return *config->Targets(module);
  };
  EXPECT_TRUE(targets({}, "q_proj"));
  EXPECT_TRUE(targets({}, "a.q_proj"));
  EXPECT_FALSE(targets({}, "a.xq_proj"));
  EXPECT_FALSE(targets({}, "q_proj.a"));
  EXPECT_FALSE(targets({{"exclude_modules", {"0.q_proj"}}}, "a.0.q_proj"));
  EXPECT_TRUE(targets({{"exclude_modules", {"0.q_proj"}}}, "a.10.q_proj"));
  EXPECT_FALSE(targets({{"exclude_modules", ".*1.*"}}, "a.10.q_proj"));
  const json regex = {{"target_modules", ".*layers\\.(1|2)\\..*_proj"}};
  EXPECT_TRUE(targets(regex, "model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(targets(regex, "model.layers.12.mlp.up_proj"));
  EXPECT_FALSE(targets(regex, "model.layers.1.mlp.up_proj.x"));
  EXPECT_TRUE(targets({{"target_modules", "all-linear"}}, "model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(targets({{"target_modules", "all-linear"}}, "lm_head"));
  EXPECT_TRUE(targets({{"layers_to_transform", 3}}, "model.layers.3.q_proj"));
  EXPECT_FALSE(targets({{"layers_to_transform", 3}}, "model.layers.13.q_proj"));
  EXPECT_TRUE(targets({{"layers_to_transform", {3, 13}}, {"layers_pattern", {"h", "layers"}}}, "m.layers.13.q_proj"));
  EXPECT_FALSE(targets({{"layers_to_transform", {3}}, {"layers_pattern", "h"}}, "m.layers.3.q_proj"));
}

TEST(PeftConfig, TheFirstPatternOfTheFileWins) {
  const std::string head = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], )";
  const auto first = PeftConfig::Parse(head + R"("rank_pattern": {"q_proj": 3, "layers.0.q_proj": 5}})");
  EXPECT_EQ(*first->RankOf("m.layers.0.q_proj"), 3);
  const auto second = PeftConfig::Parse(head + R"("rank_pattern": {"layers.0.q_proj": 5, "q_proj": 3}})");
  EXPECT_EQ(*second->RankOf("m.layers.0.q_proj"), 5);
  EXPECT_EQ(*second->RankOf("m.layers.1.q_proj"), 3);
  EXPECT_EQ(*second->RankOf("m.xq_proj"), 2);
  const auto regex = PeftConfig::Parse(head + R"("alpha_pattern": {"^m.layers.[02].*": 8}})");
  EXPECT_EQ(*regex->ScaleOf("m.layers.2.q_proj"), 4.0f);
  EXPECT_EQ(*regex->ScaleOf("m.layers.1.q_proj"), 2.0f);
}

TEST(PeftConfig, NothingIsSkipped) {
  ExpectError(Parse({{"modules_to_save", {"lm_head"}}}).status(), kUnsupported, "modules_to_save");
  ExpectError(Parse({{"bias", "all"}}).status(), kUnsupported, "bias: got \"all\"");
  ExpectError(Parse({{"peft_type", "IA3"}}).status(), kUnsupported, "peft_type: got \"IA3\"");
  ExpectError(Parse({{"task_type", "SEQ_CLS"}}).status(), kUnsupported, "task_type");
  ExpectError(Parse({{"init_lora_weights", "pissa"}}).status(), kUnsupported, "init_lora_weights: got \"pissa\"");
  ExpectError(Parse({{"fan_in_fan_out", true}}).status(), kUnsupported, "fan_in_fan_out");
  ExpectError(Parse({{"layer_replication", {{0, 1}}}}).status(), kUnsupported, "layer_replication");
  ExpectError(Parse({{"use_qalora", true}}).status(), kUnsupported, "use_qalora");
  ExpectError(Parse({{"invented", {{"a", 1}}}}).status(), kUnsupported, "invented: got {\"a\":1}");
  EXPECT_TRUE(Parse({{"invented", nullptr}, {"another", false}, {"empty", json::object()}}).ok());
}

TEST(PeftConfig, MalformedFields) {
  ExpectError(PeftConfig::Parse("[]").status(), kInvalid, "wanted an object");
  ExpectError(PeftConfig::Parse("{}").status(), kInvalid, "peft_type: missing");
  ExpectError(Parse({{"r", 0}}).status(), kInvalid, "r: got 0, wanted 1 to 1024");
  EXPECT_TRUE(Parse({{"r", limits::kMaxAdapterRank}}).ok());
  ExpectError(Parse({{"r", limits::kMaxAdapterRank + 1}}).status(), kInvalid, "r: got 1025");
  ExpectError(Parse({{"lora_alpha", 1e300}}).status(), kInvalid, "lora_alpha: got 1e+300");
  ExpectError(Parse({{"target_modules", nullptr}}).status(), kInvalid, "target_modules: got nothing");
  ExpectError(Parse({{"target_modules", {1}}}).status(), kInvalid, "target_modules: got 1");
  ExpectError(Parse({{"target_modules", "("}}).status(), kInvalid, "target_modules: \"(\"");
  ExpectError(Parse({{"rank_pattern", {{"(", 1}}}}).status(), kInvalid, "rank_pattern: \"(\"");
  ExpectError(Parse({{"rank_pattern", {{"a", 0}}}}).status(), kInvalid, "rank_pattern[\"a\"]: got 0");
  ExpectError(Parse({{"alpha_pattern", {{"a", "x"}}}}).status(), kInvalid, "alpha_pattern[\"a\"]");
  ExpectError(Parse({{"layers_to_transform", {1}}, {"target_modules", "q"}}).status(), kInvalid, "layers_to_transform");
  json many = json::object();
  for (size_t i = 0; i < limits::kMaxAdapterPatterns; ++i) many[std::to_string(i)] = 1;
  EXPECT_TRUE(Parse({{"rank_pattern", many}}).ok());
  many["more"] = 1;
  ExpectError(Parse({{"rank_pattern", many}}).status(), kInvalid, "rank_pattern: got 4097 entries");
}

TEST(PeftConfig, EndlessPatternsEnd) {
  const auto config = Parse({{"target_modules", "(a+)+[bc]"}});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->Targets(std::string(200, 'a') + "d").status().code(), StatusCode::kResourceExhausted);
}

TEST(PeftAdapter, MalformedTensors) {
  EXPECT_TRUE(Make({}, Tensors(kPair)).ok()) << Make({}, Tensors(kPair)).status();
  ExpectError(Make({}, Tensors({})).status(), kInvalid, "no tensors");
  ExpectError(Make({}, Tensors({kPair[0]})).status(), kInvalid, "q_proj: lora_B.weight is missing");
  ExpectError(Make({}, Tensors({kPair[1]})).status(), kInvalid, "q_proj: lora_A.weight is missing");
  ExpectError(Make({{"r", 3}}, Tensors(kPair)).status(), kInvalid,
              "lora_A.weight: got shape [2, 3], wanted [3, inputs]");
  ExpectError(Make({}, Tensors({kPair[0], {kQ + ".lora_B.weight", {4, 1}}})).status(), kInvalid,
              "lora_B.weight: got shape [4, 1], wanted [outputs, 2]");
  ExpectError(Make({}, Tensors({kPair[0], {kQ + ".lora_B.weight", {4, 2, 1}}})).status(), kInvalid, "[4, 2, 1]");
  ExpectError(Make({}, Tensors({kPair[1], {kQ + ".lora_A.weight", {2, 0}}})).status(), kInvalid, "[2, 0]");
  ExpectError(Make({}, Tensors(kPair, std::numeric_limits<float>::infinity())).status(), kInvalid, "element 0 is inf");
  ExpectError(Make({{"target_modules", {"v_proj"}}}, Tensors(kPair)).status(), kInvalid, "does not target it");
  ExpectError(Make({{"lora_bias", true}}, Tensors(kPair)).status(), kInvalid, "lora_B.bias is missing");
  auto biased = kPair;
  biased.push_back({kQ + ".lora_B.bias", {4}});
  ExpectError(Make({}, Tensors(biased)).status(), kInvalid, "lora_B.bias is there, but lora_bias is false");
  EXPECT_TRUE(Make({{"lora_bias", true}}, Tensors(biased)).ok());
  biased.back().second = {3};
  ExpectError(Make({{"lora_bias", true}}, Tensors(biased)).status(), kInvalid, "got shape [3], wanted [4]");
}

TEST(PeftAdapter, TensorsThatAreNoPairAreRefusedByName) {
  const auto with = [](const std::string& name) {
    auto tensors = kPair;
    tensors.push_back({name, {2, 2}});
    return Make({}, Tensors(tensors)).status();
  };
  ExpectError(with("base_model.model.lm_head.weight"), kUnsupported, "tensor base_model.model.lm_head.weight");
  ExpectError(with("base_model.model.model.embed_tokens.lora_embedding_A"), kUnsupported, "an adapter of an embedding");
  ExpectError(with(kQ + ".lora_magnitude_vector"), kUnsupported, "DoRA");
  ExpectError(with("model.layers.0.x"), kInvalid, "wanted a name that begins with base_model.model.");
  ExpectError(with("base_model.model.lora_A.weight"), kUnsupported, "lora_A.weight");
}

}  // namespace
}  // namespace bitrate
