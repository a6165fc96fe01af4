// The Hugging Face style configuration made from GGUF metadata.
#include "engine/artifact/gguf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "engine/artifact/gguf_checkpoint.h"
#include "tests/unit/artifact/gguf_builder.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using nlohmann::json;

StatusOr<json> Config(const std::function<void(GgufBuilder&)>& change, const char* architecture = "llama") {
  GgufBuilder builder;
  builder.LlamaKeys(architecture).LlamaTensors();
  change(builder);
  const std::string file = builder.Build();
  auto checkpoint = GgufCheckpointFromMapping(MappedFile::FromBytes("test.gguf", AsBytes(file)));
  if (!checkpoint.ok()) return checkpoint.status();
  return (*checkpoint)->config();
}

json Good(const std::function<void(GgufBuilder&)>& change, const char* architecture = "llama") {
  StatusOr<json> config = Config(change, architecture);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : json::object();
}

void Erase(GgufBuilder& builder, std::string_view key) {
  std::erase_if(builder.entries, [&](const std::string& entry) { return entry.starts_with(GgufString(key)); });
}

TEST(GgufConfig, PlainLlama) {
  const json config = Good([](auto&) {});
  const json want = {{"model_type", "llama"},
                     {"architectures", {"LlamaForCausalLM"}},
                     {"hidden_size", 8},
                     {"intermediate_size", 16},
                     {"num_hidden_layers", 1},
                     {"num_attention_heads", 2},
                     {"num_key_value_heads", 1},
                     {"head_dim", 4},
                     {"rms_norm_eps", static_cast<double>(1e-5f)},
                     {"max_position_embeddings", 128},
                     {"vocab_size", 10},
                     {"hidden_act", "silu"},
                     {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}},
                     {"tie_word_embeddings", true},
                     {"attention_bias", false},
                     {"mlp_bias", false}};
  EXPECT_EQ(config, want) << config.dump(1);
}

TEST(GgufConfig, QwenArchitectures) {
  EXPECT_EQ(Good([](auto&) {}, "qwen2")["architectures"][0], "Qwen2ForCausalLM");
  const json qwen3 =
      Good([](auto& b) { b.U32("qwen3.attention.key_length", 6).U32("qwen3.attention.value_length", 6); }, "qwen3");
  EXPECT_EQ(qwen3["architectures"][0], "Qwen3ForCausalLM");
  EXPECT_EQ(qwen3["head_dim"], 6);
}

TEST(GgufConfig, HeadsAndBiasesFromTensors) {
  EXPECT_EQ(Good([](auto& b) { b.Add("output.weight", {8, 10}); })["tie_word_embeddings"], false);
  const json biased = Good([](auto& b) { b.Add("blk.0.attn_q.bias", {8}).Add("blk.0.ffn_up.bias", {16}); });
  EXPECT_EQ(biased["attention_bias"], true);
  EXPECT_EQ(biased["mlp_bias"], true);
  EXPECT_EQ(Good([](auto& b) { Erase(b, "llama.attention.head_count_kv"); })["num_key_value_heads"], 2);
  EXPECT_EQ(Good([](auto& b) { b.U32("llama.vocab_size", 99); })["vocab_size"], 10) << "the embedding decides";
  EXPECT_EQ(Good([](auto& b) {
              b.tensors[0].name = "else";
              b.U32("llama.vocab_size", 99);
            })["vocab_size"],
            99);
  EXPECT_EQ(Good([](auto& b) {
              b.tensors[0].name = "else";
              b.Strings("tokenizer.ggml.tokens", {"a", "b"});
            })["vocab_size"],
            2);
}

TEST(GgufConfig, Rope) {
  const json linear = Good([](auto& b) {
    b.F32("llama.rope.freq_base", 500000).Str("llama.rope.scaling.type", "linear").F32("llama.rope.scaling.factor", 4);
  });
  EXPECT_EQ(linear["rope_parameters"], json({{"rope_type", "linear"}, {"rope_theta", 500000.0}, {"factor", 4.0}}));
  const json old = Good([](auto& b) { b.F32("llama.rope.scale_linear", 2); });
  EXPECT_EQ(old["rope_parameters"], json({{"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 2.0}}));
  const json none = Good([](auto& b) { b.Str("llama.rope.scaling.type", "none").F32("llama.rope.scaling.factor", 4); });
  EXPECT_EQ(none["rope_parameters"]["rope_type"], "default");
  EXPECT_EQ(Good([](auto& b) { b.U32("llama.rope.dimension_count", 2); })["partial_rotary_factor"], 0.5);
  EXPECT_FALSE(Good([](auto& b) { b.U32("llama.rope.dimension_count", 4); }).contains("partial_rotary_factor"));
}

TEST(GgufConfig, YarnRope) {
  const json yarn = Good([](auto& b) {
    b.Str("llama.rope.scaling.type", "yarn").F32("llama.rope.scaling.factor", 4);
    b.U32("llama.rope.scaling.original_context_length", 32).F32("llama.rope.scaling.yarn_beta_fast", 16);
  })["rope_parameters"];
  EXPECT_EQ(yarn, json({{"rope_type", "yarn"},
                        {"rope_theta", 10000.0},
                        {"factor", 4.0},
                        {"original_max_position_embeddings", 32},
                        {"beta_fast", 16.0}}));
  const json scaled = Good([](auto& b) {
    b.Str("llama.rope.scaling.type", "yarn")
        .F32("llama.rope.scaling.factor", 4)
        .F32("llama.rope.scaling.attn_factor", 0.5);
  })["rope_parameters"];
  EXPECT_DOUBLE_EQ(scaled["attention_factor"].get<double>(), 0.5 * (0.1 * std::log(4.0) + 1.0));
}

TEST(GgufConfig, Llama3RopeFactorsComeFromTheTensor) {
  const json config = Good([](auto& b) { b.AddFloats("rope_freqs.weight", {2}, {1.0f, 8.0f}); });
  EXPECT_EQ(config["rope_factors"], json({1.0, 8.0}));
  EXPECT_EQ(config["rope_parameters"]["rope_type"], "default");
}

TEST(GgufConfig, StopTokens) {
  const json config = Good([](auto& b) {
    b.U32("tokenizer.ggml.bos_token_id", 1).U32("tokenizer.ggml.eos_token_id", 2);
    b.U32("tokenizer.ggml.eot_token_id", 7).U32("tokenizer.ggml.eom_token_id", 2);
  });
  EXPECT_EQ(config["bos_token_id"], 1);
  EXPECT_EQ(config["eos_token_id"], 2);
  EXPECT_EQ(config["generation_eos_token_id"], json({2, 7}));
  const json none = Good([](auto& b) { b.U32("tokenizer.ggml.eos_token_id", 0xffffffff); });
  EXPECT_FALSE(none.contains("eos_token_id"));
  EXPECT_FALSE(none.contains("generation_eos_token_id"));
}

TEST(GgufConfig, ExpertsAreAnotherModelType) {
  EXPECT_EQ(Good([](auto& b) { b.U32("llama.expert_count", 8); })["model_type"], "mixtral");
  EXPECT_EQ(Good([](auto& b) { b.U32("qwen3.expert_count", 8); }, "qwen3")["model_type"], "qwen3_moe");
}

TEST(GgufConfig, ExpertKeys) {
  const json mixtral = Good([](auto& b) { b.U32("llama.expert_count", 8).U32("llama.expert_used_count", 2); });
  EXPECT_EQ(mixtral["architectures"], json({"MixtralForCausalLM"}));
  EXPECT_EQ(mixtral["num_local_experts"], 8);
  EXPECT_EQ(mixtral["num_experts_per_tok"], 2);
  const json qwen = Good(
      [](auto& b) {
        b.U32("qwen3moe.expert_count", 8).U32("qwen3moe.expert_used_count", 3);
        b.U32("qwen3moe.expert_feed_forward_length", 24).Scalar("qwen3moe.expert_weights_norm", GgufType::kBool, false);
      },
      "qwen3moe");
  EXPECT_EQ(qwen["model_type"], "qwen3_moe");
  EXPECT_EQ(qwen["num_experts"], 8);
  EXPECT_EQ(qwen["moe_intermediate_size"], 24);
  EXPECT_EQ(qwen["norm_topk_prob"], false);
}

// What llama.cpp's readers know and the file does not say: softcaps 50 and 30, a window of 4096, attention scaled by
// the size of a head but in the 27B model, that of 46 layers.
TEST(GgufConfig, Gemma2) {
  const json plain = Good([](auto&) {}, "gemma2");
  EXPECT_EQ(plain["model_type"], "gemma2");
  EXPECT_EQ(plain["attn_logit_softcapping"], 50.0);
  EXPECT_EQ(plain["final_logit_softcapping"], 30.0);
  EXPECT_EQ(plain["sliding_window"], 4096);
  EXPECT_EQ(plain["query_pre_attn_scalar"], 4);
  EXPECT_EQ(plain["norm_weights_include_one"], true);
  const json large = Good(
      [](auto& b) {
        Erase(b, "gemma2.block_count");
        b.U32("gemma2.block_count", 46).U32("gemma2.attention.key_length", 16);
        b.U32("gemma2.attention.value_length", 16).U32("gemma2.attention.sliding_window", 64);
        b.F32("gemma2.attn_logit_softcapping", 20).F32("gemma2.final_logit_softcapping", 10);
      },
      "gemma2");
  EXPECT_EQ(large["query_pre_attn_scalar"], 4) << "8 over 2 heads";
  EXPECT_EQ(large["head_dim"], 16);
  EXPECT_EQ(large["sliding_window"], 64);
  EXPECT_EQ(large["attn_logit_softcapping"], 20.0);
  EXPECT_EQ(large["final_logit_softcapping"], 10.0);
}

TEST(GgufConfig, GraniteNeedsItsScales) {
  const auto scales = [](auto& b) {
    b.F32("granite.attention.scale", 0.5).F32("granite.embedding_scale", 12).F32("granite.residual_scale", 0.25);
  };
  const json config = Good([&](auto& b) { scales(b), b.F32("granite.logit_scale", 8); }, "granite");
  EXPECT_EQ(config["attention_multiplier"], 0.5);
  EXPECT_EQ(config["embedding_multiplier"], 12.0);
  EXPECT_EQ(config["residual_multiplier"], 0.25);
  EXPECT_EQ(config["logits_scaling"], 8.0);
  ExpectError(Config(scales, "granite").status(), StatusCode::kInvalidArgument, "granite.logit_scale: missing");
}

TEST(GgufConfig, Phi3FactorsAreLongrope) {
  const json config = Good(
      [](auto& b) {
        b.AddFloats("rope_factors_long.weight", {2}, {1, 4}).AddFloats("rope_factors_short.weight", {2}, {1, 1.5});
        b.U32("phi3.rope.scaling.original_context_length", 32).F32("phi3.rope.scaling.attn_factor", 1.25);
        b.U32("phi3.attention.sliding_window", 0);
      },
      "phi3");
  EXPECT_EQ(config["rope_parameters"], json({{"rope_type", "longrope"},
                                             {"rope_theta", 10000.0},
                                             {"long_factor", {1.0, 4.0}},
                                             {"short_factor", {1.0, 1.5}},
                                             {"original_max_position_embeddings", 32},
                                             {"attention_factor", 1.25}}));
  EXPECT_FALSE(config.contains("sliding_window")) << "0 is how Phi-4 says that it has none";
  const Status one = Config([](auto& b) { b.AddFloats("rope_factors_long.weight", {2}, {1, 4}); }, "phi3").status();
  EXPECT_FALSE(one.ok());
  EXPECT_NE(ToStd(one.message()).find("rope_factors_short.weight"), std::string_view::npos) << one;
}

struct Bad {
  const char* name;
  StatusCode code;
  const char* text;
  std::function<void(GgufBuilder&)> change;
};

class GgufConfigBad : public testing::TestWithParam<Bad> {};

TEST_P(GgufConfigBad, IsRefusedByKey) {
  ExpectError(Config(GetParam().change).status(), GetParam().code, GetParam().text);
}

void Replace(GgufBuilder& b, std::string_view key, uint32_t value) {
  Erase(b, key);
  b.U32(key, value);
}

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
constexpr StatusCode kUnsupported = StatusCode::kFailedPrecondition;

INSTANTIATE_TEST_SUITE_P(
    Cases, GgufConfigBad,
    testing::ValuesIn(std::vector<Bad>{
        {"NoLayers", kInvalid, "llama.block_count: missing", [](auto& b) { Erase(b, "llama.block_count"); }},
        {"ZeroLayers", kInvalid, "llama.block_count: got 0", [](auto& b) { Replace(b, "llama.block_count", 0); }},
        {"ManyLayers", kInvalid, "llama.block_count: got 1025, want 1 to 1024",
         [](auto& b) { Replace(b, "llama.block_count", 1025); }},
        {"HugeHidden", kInvalid, "llama.embedding_length: got",
         [](auto& b) { Replace(b, "llama.embedding_length", 0xffffffff); }},
        {"ZeroHeads", kInvalid, "llama.attention.head_count: got 0",
         [](auto& b) { Replace(b, "llama.attention.head_count", 0); }},
        {"HeadsDoNotDivideHidden", kInvalid, "llama.embedding_length: 8 is not a multiple of the 3 heads",
         [](auto& b) {
           Replace(b, "llama.attention.head_count", 3);
           b.tensors.erase(b.tensors.begin() + 1);
         }},
        {"HeadsDoNotDivideRows", kInvalid, "blk.0.attn_q.weight: 8 rows do not divide into 3 heads",
         [](auto& b) { Replace(b, "llama.attention.head_count", 3); }},
        {"HeadsPerLayer", kUnsupported, "llama.attention.head_count: a value per layer",
         [](auto& b) {
           Erase(b, "llama.attention.head_count");
           b.RawArray("llama.attention.head_count", 5, 1, LittleEndian(int32_t{2}));
         }},
        {"HeadsAsText", kInvalid, "llama.attention.head_count: got string",
         [](auto& b) {
           Erase(b, "llama.attention.head_count");
           b.Str("llama.attention.head_count", "2");
         }},
        {"ValueHeadsOfAnotherSize", kUnsupported, "llama.attention.value_length: 8",
         [](auto& b) { b.U32("llama.attention.value_length", 8); }},
        {"EpsilonNan", kInvalid, "layer_norm_rms_epsilon: not a finite number",
         [](auto& b) {
           Erase(b, "llama.attention.layer_norm_rms_epsilon");
           b.F32("llama.attention.layer_norm_rms_epsilon", NAN);
         }},
        {"ThetaZero", kInvalid, "llama.rope.freq_base", [](auto& b) { b.F32("llama.rope.freq_base", 0); }},
        {"Longrope", kUnsupported, "llama.rope.scaling.type: \"longrope\"",
         [](auto& b) { b.Str("llama.rope.scaling.type", "longrope"); }},
        {"NoExpertCount", kInvalid, "llama.expert_count: missing",
         [](auto& b) {
           b.Add("blk.0.ffn_up_exps.weight", {8, 16, 4});
         }},
        {"AnotherExpertCount", kInvalid, "blk.0.ffn_up_exps.weight: 4 experts, want llama.expert_count = 5",
         [](auto& b) {
           b.U32("llama.expert_count", 5).Add("blk.0.ffn_up_exps.weight", {8, 16, 4});
         }},
        {"ExpertsAsAMatrix", kInvalid, "blk.0.ffn_up_exps.weight: 2 dimensions, want 3",
         [](auto& b) {
           b.U32("llama.expert_count", 4).Add("blk.0.ffn_up_exps.weight", {8, 16});
         }},
        {"TooManyExperts", kInvalid, "llama.expert_count: got 1025, want 1 to 1024",
         [](auto& b) {
           b.U32("llama.expert_count", 1025).Add("blk.0.ffn_up_exps.weight", {1, 1, 1025});
         }},
        {"ExpertTwice", kInvalid, "a second tensor for model.layers.0.block_sparse_moe.experts.1.w3.weight",
         [](auto& b) {
           b.U32("llama.expert_count", 2).Add("model.layers.0.block_sparse_moe.experts.1.w3.weight", {8, 16});
           b.Add("blk.0.ffn_up_exps.weight", {8, 16, 2});
         }},
        {"SigmoidRouter", kUnsupported, "llama.expert_gating_func: 2",
         [](auto& b) { b.U32("llama.expert_count", 4).U32("llama.expert_gating_func", 2); }},
        {"SharedExperts", kUnsupported, "llama.expert_shared_count: 1",
         [](auto& b) { b.U32("llama.expert_count", 4).U32("llama.expert_shared_count", 1); }},
        {"ExpertsNotNormalized", kUnsupported, "llama.expert_weights_norm",
         [](auto& b) { b.U32("llama.expert_count", 4).Scalar("llama.expert_weights_norm", GgufType::kBool, false); }},
        {"RopeFactorZero", kInvalid, "rope_freqs.weight",
         [](auto& b) {
           b.AddFloats("rope_freqs.weight", {2}, {1, 0});
         }},
        {"RopeFactorNan", kInvalid, "rope_freqs.weight",
         [](auto& b) {
           b.AddFloats("rope_freqs.weight", {2}, {1, NAN});
         }},
        {"RopeFactorsTooMany", kInvalid, "rope_freqs.weight: 1025",
         [](auto& b) { b.AddFloats("rope_freqs.weight", {1025}, std::vector<float>(1025, 1)); }},
        {"RopeFactorsMatrix", kInvalid, "rope_freqs.weight: shape [1, 2]",
         [](auto& b) {
           b.AddFloats("rope_freqs.weight", {2, 1}, {1, 1});
         }},
        {"StopTokenAsText", kInvalid, "tokenizer.ggml.eos_token_id: got string",
         [](auto& b) { b.Str("tokenizer.ggml.eos_token_id", "2"); }},
        {"StopTokenNegative", kInvalid, "tokenizer.ggml.eos_token_id: got -2",
         [](auto& b) { b.Scalar("tokenizer.ggml.eos_token_id", GgufType::kI32, int32_t{-2}); }},
    }),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bitrate
