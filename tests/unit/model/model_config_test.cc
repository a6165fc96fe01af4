#include "engine/model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json Base() {
  return json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": true})");
}

json With(const char* patch) {
  json config = Base();
  config.merge_patch(json::parse(patch));
  return config;
}

TEST(ModelConfig, ReadsShapesAndDefaults) {
  const StatusOr<ModelConfig> c = ParseModelConfig(Base());
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->architecture, "llama");
  EXPECT_EQ(c->vocab_size, 512);
  EXPECT_EQ(c->hidden_size, 64);
  EXPECT_EQ(c->intermediate_size, 128);
  EXPECT_EQ(c->num_layers, 2);
  EXPECT_EQ(c->num_heads, 4);
  EXPECT_EQ(c->num_kv_heads, 2);
  EXPECT_EQ(c->head_dim, 16);  // hidden_size / num_attention_heads
  EXPECT_EQ(c->max_positions, 256);
  EXPECT_EQ(c->rms_norm_eps, 1e-6);
  EXPECT_TRUE(c->tie_word_embeddings);
  EXPECT_FALSE(c->attention_bias || c->attention_output_bias || c->mlp_bias);
  EXPECT_EQ(c->sliding_window, 0);
  EXPECT_EQ(c->bos_id, 1);
  EXPECT_THAT(c->eos_ids, ElementsAre(2));
  EXPECT_EQ(c->rope.kind, RopeConfig::Kind::kDefault);
  EXPECT_EQ(c->rope.theta, 10000.0);
}

TEST(ModelConfig, KvHeadsDefaultToHeads) {
  json config = Base();
  config.erase("num_key_value_heads");
  EXPECT_EQ(ParseModelConfig(config)->num_kv_heads, 4);
}

TEST(ModelConfig, ArchitectureByClassAlone) {
  json config = Base();
  config.erase("model_type");
  EXPECT_TRUE(ParseModelConfig(config).ok());
}

TEST(ModelConfig, AttentionBiasCoversTheOutputUnlessSaidOtherwise) {
  EXPECT_TRUE(ParseModelConfig(With(R"({"attention_bias": true})"))->attention_output_bias);
  const auto split = ParseModelConfig(With(R"({"attention_bias": true, "attention_output_bias": false})"));
  EXPECT_TRUE(split->attention_bias);
  EXPECT_FALSE(split->attention_output_bias);
}

TEST(ModelConfig, EosIdsAreUnited) {
  const auto c = ParseModelConfig(With(R"({"eos_token_id": [2, 7], "generation_eos_token_id": [7, 9]})"));
  EXPECT_THAT(c->eos_ids, ElementsAre(2, 7, 9));
  EXPECT_TRUE(ParseModelConfig(With(R"({"eos_token_id": null})"))->eos_ids.empty());
  EXPECT_EQ(ParseModelConfig(With(R"({"bos_token_id": -1})"))->bos_id, -1);
}

TEST(ModelConfig, RopeOfBothStyles) {
  const auto v4 = ParseModelConfig(With(R"({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}})"));
  const auto v5 =
      ParseModelConfig(With(R"({"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 5e5}})"));
  for (const auto& c : {v4, v5}) {
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->rope.kind, RopeConfig::Kind::kLinear);
    EXPECT_EQ(c->rope.factor, 4.0);
    EXPECT_EQ(c->rope.theta, 5e5);
  }
  EXPECT_EQ(ParseModelConfig(With(R"({"rope_scaling": null})"))->rope.kind, RopeConfig::Kind::kDefault);
}

TEST(ModelConfig, Llama3AndYarnParameters) {
  const auto llama3 = ParseModelConfig(With(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8,
    "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}})"));
  ASSERT_TRUE(llama3.ok()) << llama3.status();
  EXPECT_EQ(llama3->rope.kind, RopeConfig::Kind::kLlama3);
  EXPECT_EQ(llama3->rope.original_max_positions, 64);
  const auto yarn = ParseModelConfig(With(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 16,
    "mscale": 0.7, "mscale_all_dim": 0.8, "truncate": false}})"));
  ASSERT_TRUE(yarn.ok()) << yarn.status();
  EXPECT_EQ(yarn->rope.original_max_positions, 256);  // the model's own where none is given
  EXPECT_EQ(yarn->rope.beta_fast, 16);
  EXPECT_EQ(yarn->rope.mscale_all_dim, 0.8);
  EXPECT_FALSE(yarn->rope.truncate);
}

TEST(ModelConfig, GgufRopeFactors) {
  const auto c = ParseModelConfig(With(R"({"rope_factors": [1, 1, 1, 1, 2, 4, 8, 8]})"));
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->rope.kind, RopeConfig::Kind::kFactors);
  EXPECT_THAT(c->rope.factors, ElementsAre(1, 1, 1, 1, 2, 4, 8, 8));
}

TEST(ModelConfig, LongRopeOfBothStyles) {
  const std::string patches[] = {
      R"({"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 32,
          "long_factor": [1,1,1,1,2,2,2,2], "short_factor": [1,1,1,1,1,1,1,1.5]}})",
      R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope", "long_factor": [1,1,1,1,2,2,2,2], "short_factor": [1,1,1,1,1,1,1,1.5]}})",
      R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "su", "long_factor": [1,1,1,1,2,2,2,2], "short_factor": [1,1,1,1,1,1,1,1.5]}})"};
  for (const std::string& patch : patches) {
    const auto c = ParseModelConfig(With(patch.c_str()));
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->rope.kind, RopeConfig::Kind::kLongRope);
    EXPECT_EQ(c->rope.original_max_positions, 32);
    EXPECT_EQ(c->rope.factor, 8.0) << "256 / 32";
    EXPECT_THAT(c->rope.factors, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1.5f));
    EXPECT_THAT(c->rope.long_factors, ElementsAre(1, 1, 1, 1, 2, 2, 2, 2));
  }
  const auto given = ParseModelConfig(With(R"({"original_max_position_embeddings": 32, "rope_scaling": {
      "type": "longrope", "factor": 4, "attention_factor": 1.25, "long_factor": [1,1,1,1,2,2,2,2], "short_factor": [1,1,1,1,1,1,1,1.5]}})"));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->rope.factor, 4.0);
  EXPECT_EQ(given->rope.attention_factor, 1.25);
}

// Each must be refused with a message that names the key.
TEST(ModelConfig, RefusesByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"model_type", R"({"model_type": "rwkv"})"},
      {"architectures", R"({"model_type": "gemma2"})"},
      {"architectures", R"({"architectures": ["LlamaForSequenceClassification"]})"},
      {"hidden_act", R"({"hidden_act": "gelu"})"},
      {"pretraining_tp", R"({"pretraining_tp": 2})"},
      {"attn_logit_softcapping", R"({"attn_logit_softcapping": 50.0})"},
      {"final_logit_softcapping", R"({"final_logit_softcapping": 30.0})"},
      {"sliding_window", R"({"sliding_window": 16})"},
      {"partial_rotary_factor", R"({"partial_rotary_factor": 0.5})"},
      {"rope_interleaved", R"({"rope_interleaved": true})"},
      {"num_local_experts", R"({"num_local_experts": 8})"},
      {"logits_scaling", R"({"logits_scaling": 4.0})"},
      {"rope_type", R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2}})"},
      {"long_factor", R"({"rope_scaling": {"type": "default", "long_factor": [1, 2]}})"},
      {"full_attention", R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"},
      {"partial_rotary_factor", R"({"rope_parameters": {"partial_rotary_factor": 0.25}})"},
      {"rope_factors", R"({"rope_factors": [1,1,1,1,1,1,1,1], "rope_scaling": {"type": "linear", "factor": 2}})"},
  };
  for (const auto& [key, patch] : cases) {
    const Status status = ParseModelConfig(With(patch)).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << patch << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(key)) << patch;
  }
}

TEST(ModelConfig, NeutralSwitchesPass) {
  const auto c = ParseModelConfig(With(R"({"pretraining_tp": 1, "sliding_window": null, "rope_interleaved": false,
    "attn_logit_softcapping": null, "partial_rotary_factor": 1.0, "no_rope_layers": [], "logits_scaling": 1.0,
    "transformers.js_config": {"dtype": "q4"}, "use_cache": true, "hidden_act": "swish"})"));
  EXPECT_TRUE(c.ok()) << c.status();
}

TEST(ModelConfig, MalformedIsInvalidArgumentByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"original_max_position_embeddings", R"({"rope_parameters": {"rope_type": "longrope"}})"},
      {"original_max_position_embeddings", R"({"original_max_position_embeddings": 1, "rope_scaling": {
        "type": "longrope"}})"},
      {"short_factor", R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope"}})"},
      {"short_factor", R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope",
        "short_factor": [1, 1], "long_factor": [1, 1]}})"},
      {"long_factor", R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope",
        "short_factor": [1,1,1,1,1,1,1,1], "long_factor": [1,1,1,1,1,1,1,0]}})"},
      {"vocab_size", R"({"vocab_size": 0})"},
      {"vocab_size", R"({"vocab_size": null})"},
      {"vocab_size", R"({"vocab_size": "512"})"},
      {"hidden_size", R"({"hidden_size": -64})"},
      {"hidden_size", R"({"hidden_size": 66})"},
      {"hidden_size", R"({"hidden_size": 1e300})"},
      {"intermediate_size", R"({"intermediate_size": 1.5})"},
      {"num_hidden_layers", R"({"num_hidden_layers": 0})"},
      {"num_attention_heads", R"({"num_attention_heads": 0})"},
      {"num_key_value_heads", R"({"num_key_value_heads": 3})"},
      {"num_key_value_heads", R"({"num_key_value_heads": 8})"},
      {"head_dim", R"({"head_dim": 15})"},
      {"max_position_embeddings", R"({"max_position_embeddings": 0})"},
      {"rms_norm_eps", R"({"rms_norm_eps": 0})"},
      {"rms_norm_eps", R"({"rms_norm_eps": "x"})"},
      {"eos_token_id", R"({"eos_token_id": 512})"},
      {"eos_token_id", R"({"eos_token_id": ["2"]})"},
      {"bos_token_id", R"({"bos_token_id": 512})"},
      {"rope_theta", R"({"rope_theta": 0})"},
      {"factor", R"({"rope_scaling": {"type": "linear"}})"},
      {"factor", R"({"rope_scaling": {"type": "linear", "factor": 0}})"},
      {"rope_scaling", R"({"rope_scaling": "linear"})"},
      {"original_max_position_embeddings", R"({"rope_scaling": {"type": "llama3", "factor": 8}})"},
      {"high_freq_factor", R"({"rope_scaling": {"type": "llama3", "factor": 8, "high_freq_factor": 1,
                               "low_freq_factor": 1, "original_max_position_embeddings": 64}})"},
      {"rope_factors", R"({"rope_factors": [1, 2]})"},
      {"rope_factors", R"({"rope_factors": [1, 1, 1, 1, 1, 1, 1, 0]})"},
      {"architectures", R"({"architectures": [3]})"},
      {"model_type", R"({"model_type": 3})"},
  };
  for (const auto& [key, patch] : cases) {
    const Status status = ParseModelConfig(With(patch)).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << patch << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(key)) << patch;
  }
  EXPECT_EQ(ParseModelConfig(json::array()).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseModelConfig(json::object()).status().code(), StatusCode::kInvalidArgument);
}

TEST(ModelConfig, LimitsAtAndPastTheBound) {
  const std::vector<std::pair<const char*, int64_t>> cases = {{"vocab_size", limits::kMaxVocab},
                                                              {"hidden_size", limits::kMaxHidden},
                                                              {"intermediate_size", limits::kMaxHidden},
                                                              {"num_hidden_layers", limits::kMaxLayers},
                                                              {"num_attention_heads", limits::kMaxHeads},
                                                              {"head_dim", limits::kMaxHeadDim},
                                                              {"max_position_embeddings", limits::kMaxContext}};
  for (const auto& [key, limit] : cases) {
    json config = Base();
    config["head_dim"] = 16;
    config[key] = limit;
    EXPECT_TRUE(ParseModelConfig(config).ok()) << key << ParseModelConfig(config).status();
    config[key] = limit + 1;
    EXPECT_EQ(ParseModelConfig(config).status().code(), StatusCode::kInvalidArgument) << key;
  }
}

}  // namespace
}  // namespace bitrate
