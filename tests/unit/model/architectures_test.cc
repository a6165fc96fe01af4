// What each architecture's mapping reads of its config.json, in both styles, as transformers' configuration classes
// define it; and what it refuses by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/model/model_config.h"

namespace bitrate {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json Config(const char* model_type, const char* class_name, const char* patch) {
  json config = json::parse(R"({"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6})");
  config["model_type"] = model_type;
  config["architectures"] = json::array({class_name});
  config.merge_patch(json::parse(patch));
  return config;
}

ModelConfig Parse(const json& config) {
  const auto c = ParseModelConfig(config);
  EXPECT_TRUE(c.ok()) << c.status();
  return c.ok() ? *c : ModelConfig();
}

TEST(Architectures, MistralSlidesEverywhereOrNowhere) {
  const ModelConfig c = Parse(Config("mistral", "MistralForCausalLM", R"({"sliding_window": 8})"));
  EXPECT_EQ(c.sliding_window, 8);
  EXPECT_THAT(c.sliding_layers, ElementsAre(true, true, true, true));
  EXPECT_EQ(Parse(Config("mistral", "MistralForCausalLM", R"({"sliding_window": null})")).sliding_window, 0);
}

TEST(Architectures, QwenWindowNeedsItsSwitchAndBeginsAtMaxWindowLayers) {
  const char* off = R"({"use_sliding_window": false, "sliding_window": 32, "max_window_layers": 2})";
  EXPECT_EQ(Parse(Config("qwen2", "Qwen2ForCausalLM", off)).sliding_window, 0);
  const char* on = R"({"use_sliding_window": true, "sliding_window": 32, "max_window_layers": 3})";
  const ModelConfig c = Parse(Config("qwen2", "Qwen2ForCausalLM", on));
  EXPECT_EQ(c.sliding_window, 32);
  EXPECT_THAT(c.sliding_layers, ElementsAre(false, false, false, true));
  EXPECT_TRUE(c.attention_bias);
  EXPECT_FALSE(c.attention_output_bias);
  const ModelConfig three = Parse(Config("qwen3", "Qwen3ForCausalLM", R"({"head_dim": 32})"));
  EXPECT_EQ(three.qk_norm, QkNorm::kHead);
  EXPECT_FALSE(three.attention_bias);
}

TEST(Architectures, GraniteDividesLogits) {
  const ModelConfig c =
      Parse(Config("granite", "GraniteForCausalLM", R"({"embedding_multiplier": 12.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.015625, "logits_scaling": 8.0})"));
  EXPECT_EQ(c.embedding_scale, 12.0);
  EXPECT_EQ(c.residual_scale, 0.22);
  EXPECT_EQ(c.attention_scale, 0.015625);
  EXPECT_EQ(c.logits_scale, 0.125);
}

TEST(Architectures, Gemma2AlternatesWithoutLayerTypes) {
  const ModelConfig c = Parse(Config("gemma2", "Gemma2ForCausalLM", R"({"sliding_window": 8,
    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0})"));
  EXPECT_THAT(c.sliding_layers, ElementsAre(true, false, true, false));
  EXPECT_EQ(c.attention_scale, 1.0 / 16);
  EXPECT_EQ(c.attention_softcap, 50.0);
  EXPECT_EQ(c.logits_softcap, 30.0);
  EXPECT_EQ(c.embedding_scale, 8.0);
  EXPECT_EQ(c.activation, Activation::kGeluTanh);
  EXPECT_TRUE(c.pre_norms && c.post_norms && c.norm_plus_one);
  EXPECT_TRUE(c.tie_word_embeddings) << "the default of this configuration class";
}

// transformers 4: rope_theta and rope_scaling of the full layers, rope_local_base_freq of the sliding ones.
TEST(Architectures, Gemma3InTheOldStyle) {
  const ModelConfig c = Parse(Config("gemma3_text", "Gemma3ForCausalLM", R"({"sliding_window": 512,
    "sliding_window_pattern": 3, "rope_theta": 1000000.0, "rope_local_base_freq": 12345.0,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "query_pre_attn_scalar": 256})"));
  EXPECT_THAT(c.sliding_layers, ElementsAre(true, true, false, true));
  EXPECT_EQ(c.rope.theta, 1e6);
  EXPECT_EQ(c.rope.kind, RopeConfig::Kind::kLinear);
  EXPECT_TRUE(c.has_local_rope);
  EXPECT_EQ(c.local_rope.theta, 12345.0);
  EXPECT_EQ(c.local_rope.kind, RopeConfig::Kind::kDefault);
  EXPECT_EQ(c.qk_norm, QkNorm::kHead);
}

TEST(Architectures, Phi3TurnsAPartOfAHead) {
  const ModelConfig c = Parse(Config("phi3", "Phi3ForCausalLM", R"({"partial_rotary_factor": 0.75})"));
  EXPECT_EQ(c.rotary_dim, 12);
  EXPECT_TRUE(c.fused_qkv);
  const ModelConfig five =
      Parse(Config("phi3", "Phi3ForCausalLM", R"({"rope_parameters": {"partial_rotary_factor": 0.5}})"));
  EXPECT_EQ(five.rotary_dim, 8);
}

TEST(Architectures, Qwen3MoeMixesDenseAndExpertLayers) {
  const ModelConfig c = Parse(Config("qwen3_moe", "Qwen3MoeForCausalLM", R"({"num_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": true})"));
  EXPECT_EQ(c.num_experts, 8);
  EXPECT_EQ(c.experts_per_token, 2);
  EXPECT_EQ(c.expert_size, 32);
  EXPECT_TRUE(c.renormalize_experts);
  EXPECT_THAT(c.expert_layers, ElementsAre(false, true, false, false));
  const ModelConfig mixtral =
      Parse(Config("mixtral", "MixtralForCausalLM", R"({"num_local_experts": 4, "num_experts_per_tok": 2})"));
  EXPECT_EQ(mixtral.expert_size, 128);
  EXPECT_THAT(mixtral.expert_layers, ElementsAre(true, true, true, true));
}

TEST(Architectures, RefusesByName) {
  struct Case {
    const char *type, *class_name, *patch, *named;
  };
  const Case cases[] = {
      {"phi3", "Phi3ForCausalLM", R"({"original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope",
        "long_mscale": 1.2, "long_factor": [1,1,1,1,1,1,1,1], "short_factor": [1,1,1,1,1,1,1,1]}})",
       "long_mscale"},
      {"gemma3_text", "Gemma3ForCausalLM", R"({"rope_parameters": {"full_attention": {"rope_type": "longrope",
        "original_max_position_embeddings": 32, "long_factor": [1,1,1,1,1,1,1,1],
        "short_factor": [1,1,1,1,1,1,1,1]}, "sliding_attention": {}}})",
       "longrope"},
      {"mistral", "MistralForCausalLM", R"({"attn_logit_softcapping": 5.0})", "attn_logit_softcapping"},
      {"olmo2", "Olmo2ForCausalLM", R"({"clip_qkv": 8.0})", "clip_qkv"},
      {"gemma2", "Gemma2ForCausalLM", R"({"query_pre_attn_scalar": 24, "embedding_multiplier": 2})",
       "embedding_multiplier"},
      {"gemma2", "Gemma2ForCausalLM", R"({"use_bidirectional_attention": true})", "use_bidirectional_attention"},
      {"gemma2", "Gemma2ForCausalLM", R"({"sliding_window": 8, "layer_types": ["full_attention", "full_attention",
        "chunked_attention", "full_attention"]})",
       "layer_types[2]"},
      {"gemma3_text", "Gemma3ForCausalLM", R"({"rope_parameters": {"full_attention": {}, "other_attention": {}}})",
       "other_attention"},
      {"gemma2", "Gemma2ForCausalLM", R"({"hidden_activation": "gelu"})", "hidden_activation"},
      {"qwen3", "Qwen3ForCausalLM", R"({"num_experts": 8})", "num_experts"},
  };
  for (const Case& c : cases) {
    const Status status = ParseModelConfig(Config(c.type, c.class_name, c.patch)).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << c.patch << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.named)) << c.patch;
  }
}

TEST(Architectures, MalformedIsInvalidArgumentByName) {
  struct Case {
    const char *type, *class_name, *patch, *named;
  };
  const Case cases[] = {
      {"mistral", "MistralForCausalLM", R"({"sliding_window": -1})", "sliding_window"},
      {"mistral", "MistralForCausalLM", R"({"sliding_window": 8, "layer_types": ["full_attention"]})", "layer_types"},
      {"granite", "GraniteForCausalLM", R"({"residual_multiplier": -1})", "residual_multiplier"},
      {"granite", "GraniteForCausalLM", R"({"logits_scaling": 0})", "logits_scaling"},
      {"gemma2", "Gemma2ForCausalLM", R"({"query_pre_attn_scalar": "24"})", "query_pre_attn_scalar"},
      {"gemma3_text", "Gemma3ForCausalLM", R"({"sliding_window_pattern": 0})", "sliding_window_pattern"},
      {"phi3", "Phi3ForCausalLM", R"({"partial_rotary_factor": 1.5})", "partial_rotary_factor"},
      {"mixtral", "MixtralForCausalLM", R"({"num_local_experts": 4, "num_experts_per_tok": 5})", "num_experts_per_tok"},
      {"mixtral", "MixtralForCausalLM", R"({"num_experts_per_tok": 1})", "num_local_experts"},
      {"qwen3_moe", "Qwen3MoeForCausalLM", R"({"num_experts": 8, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "mlp_only_layers": [4]})",
       "mlp_only_layers"},
      {"phi3", "Phi3ForCausalLM", R"({"partial_rotary_factor": 0.2})", "partial_rotary_factor"},
  };
  for (const Case& c : cases) {
    const Status status = ParseModelConfig(Config(c.type, c.class_name, c.patch)).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.patch << " " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.named)) << c.patch;
  }
}

}  // namespace
}  // namespace bitrate
