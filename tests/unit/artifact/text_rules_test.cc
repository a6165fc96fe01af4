#include <gtest/gtest.h>

#include "engine/artifact/checked.h"
#include "engine/artifact/gguf_names.h"

namespace bitrate {
namespace {

TEST(Utf8, WellFormedTextPasses) {
  for (const char* text : {"", "abc", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf4\x8f\xbf\xbf", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << Printable(text);
  }
}

// RFC 3629: overlong forms, surrogates, above U+10FFFF, stray and missing continuation bytes.
TEST(Utf8, IllFormedTextFails) {
  for (const char* text :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3z", "\xe2\x28\xa1"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << Printable(text);
  }
}

TEST(Printable, EscapesAndCuts) {
  EXPECT_EQ(Printable(std::string_view("a\0\n\xff", 4)), "a\\x00\\x0a\\xff");
  EXPECT_EQ(Printable(std::string(100, 'x')), std::string(80, 'x') + "...");
}

TEST(CheckedElements, OverflowIsNotHiddenByALaterZero) {
  const std::vector<int64_t> wraps = {int64_t{1} << 40, int64_t{1} << 40, 0};
  EXPECT_FALSE(CheckedElements(wraps, UINT64_MAX).has_value());
  EXPECT_EQ(CheckedElements(std::vector<int64_t>{}, 10), 1u);
  EXPECT_EQ(CheckedElements(std::vector<int64_t>{2, 5}, 10), 10u);
  EXPECT_FALSE(CheckedElements(std::vector<int64_t>{2, 5}, 9).has_value());
  EXPECT_FALSE(CheckedElements(std::vector<int64_t>{-1}, 9).has_value());
}

// Names as the converters of llama.cpp write them.
TEST(GgufNames, MapToHuggingFace) {
  const std::pair<const char*, const char*> kNames[] = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"output.weight", "lm_head.weight"},
      {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
      {"blk.11.ffn_norm.weight", "model.layers.11.post_attention_layernorm.weight"},
      {"blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
      {"blk.3.attn_k.bias", "model.layers.3.self_attn.k_proj.bias"},
      {"blk.3.attn_v.weight", "model.layers.3.self_attn.v_proj.weight"},
      {"blk.3.attn_output.weight", "model.layers.3.self_attn.o_proj.weight"},
      {"blk.3.attn_q_norm.weight", "model.layers.3.self_attn.q_norm.weight"},
      {"blk.3.attn_k_norm.weight", "model.layers.3.self_attn.k_norm.weight"},
      {"blk.3.ffn_gate.weight", "model.layers.3.mlp.gate_proj.weight"},
      {"blk.3.ffn_up.weight", "model.layers.3.mlp.up_proj.weight"},
      {"blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"},
  };
  for (const char* architecture : {"llama", "qwen2", "qwen3", "qwen3moe", "granite"}) {
    for (const auto& [name, want] : kNames) EXPECT_EQ(CanonicalTensorName(architecture, name), want);
  }
}

TEST(GgufNames, UnknownOnesStay) {
  for (const char* name :
       {"rope_freqs.weight", "blk.00.attn_q.weight", "blk.0.attn_q", "blk.x.attn_q.weight", "blk..attn_q.weight",
        "blk.1", "attn_q.weight", "blk.0.output.weight", "blk.0.ffn_gate_exps.weight", "output.scale", ".weight",
        "blk.9999999.attn_q.weight", "blk.-1.attn_q.weight"}) {
    EXPECT_EQ(CanonicalTensorName("llama", name), name);
  }
  EXPECT_EQ(CanonicalTensorName("gemma4", "output.weight"), "output.weight");
}

// llama.cpp's names: the norm before the MLP is ffn_norm everywhere, but Hugging Face calls gemma's by another name.
TEST(GgufNames, GemmaHasNormsOnBothSides) {
  EXPECT_EQ(CanonicalTensorName("gemma3", "blk.2.ffn_norm.weight"), "model.layers.2.pre_feedforward_layernorm.weight");
  EXPECT_EQ(CanonicalTensorName("gemma3", "blk.2.post_attention_norm.weight"),
            "model.layers.2.post_attention_layernorm.weight");
  EXPECT_EQ(CanonicalTensorName("gemma3", "blk.2.post_ffw_norm.weight"),
            "model.layers.2.post_feedforward_layernorm.weight");
  EXPECT_EQ(CanonicalTensorName("gemma3", "blk.2.attn_q.weight"), "model.layers.2.self_attn.q_proj.weight");
  EXPECT_EQ(CanonicalTensorName("llama", "blk.2.post_ffw_norm.weight"), "blk.2.post_ffw_norm.weight");
}

TEST(GgufNames, OfOtherArchitectures) {
  const struct {
    const char *architecture, *name, *want;
  } kNames[] = {
      {"gemma2", "blk.2.ffn_norm.weight", "model.layers.2.pre_feedforward_layernorm.weight"},
      {"olmo2", "blk.2.post_attention_norm.weight", "model.layers.2.post_attention_layernorm.weight"},
      {"olmo2", "blk.2.post_ffw_norm.weight", "model.layers.2.post_feedforward_layernorm.weight"},
      {"phi3", "blk.2.attn_qkv.weight", "model.layers.2.self_attn.qkv_proj.weight"},
      {"phi3", "blk.2.ffn_up.weight", "model.layers.2.mlp.gate_up_proj.weight"},
      {"phi3", "blk.2.ffn_down.weight", "model.layers.2.mlp.down_proj.weight"},
      {"llama", "blk.2.attn_qkv.weight", "blk.2.attn_qkv.weight"},
      {"llama", "blk.2.ffn_gate_inp.weight", "model.layers.2.block_sparse_moe.gate.weight"},
      {"qwen3moe", "blk.2.ffn_gate_inp.weight", "model.layers.2.mlp.gate.weight"},
  };
  for (const auto& row : kNames) {
    EXPECT_EQ(CanonicalTensorName(row.architecture, row.name), row.want) << row.architecture;
  }
}

TEST(GgufNames, StackedExperts) {
  const struct {
    const char *architecture, *name, *before, *after;
  } kNames[] = {
      {"llama", "blk.0.ffn_gate_exps.weight", "model.layers.0.block_sparse_moe.experts.", ".w1.weight"},
      {"llama", "blk.7.ffn_down_exps.weight", "model.layers.7.block_sparse_moe.experts.", ".w2.weight"},
      {"llama", "blk.7.ffn_up_exps.weight", "model.layers.7.block_sparse_moe.experts.", ".w3.weight"},
      {"qwen3moe", "blk.3.ffn_gate_exps.weight", "model.layers.3.mlp.experts.", ".gate_proj.weight"},
      {"qwen3moe", "blk.3.ffn_down_exps.weight", "model.layers.3.mlp.experts.", ".down_proj.weight"},
      {"qwen3moe", "blk.3.ffn_up_exps.weight", "model.layers.3.mlp.experts.", ".up_proj.weight"},
  };
  for (const auto& row : kNames) {
    const auto names = StackedExpertNames(row.architecture, row.name);
    ASSERT_TRUE(names.has_value()) << row.name;
    EXPECT_EQ(names->before, row.before);
    EXPECT_EQ(names->after, row.after);
  }
  for (const char* name : {"blk.0.ffn_gate_exps.bias", "blk.0.ffn_gate.weight", "ffn_up_exps.weight"}) {
    EXPECT_FALSE(StackedExpertNames("llama", name).has_value()) << name;
  }
  EXPECT_FALSE(StackedExpertNames("qwen3", "blk.0.ffn_up_exps.weight").has_value());
}

TEST(GgufNames, OnlyLlamaAndGranitePermuteAndOnlyQueryAndKey) {
  EXPECT_EQ(StoredPermutation("granite", "blk.0.attn_q.weight"), RowPermutation::kQueryHeads);
  EXPECT_EQ(StoredPermutation("llama", "blk.0.attn_q.weight"), RowPermutation::kQueryHeads);
  EXPECT_EQ(StoredPermutation("llama", "blk.0.attn_k.bias"), RowPermutation::kKeyHeads);
  for (const char* name : {"blk.0.attn_v.weight", "blk.0.attn_q_norm.weight", "attn_q.weight", "output.weight"}) {
    EXPECT_EQ(StoredPermutation("llama", name), RowPermutation::kNone) << name;
  }
  EXPECT_EQ(StoredPermutation("qwen3", "blk.0.attn_q.weight"), RowPermutation::kNone);
}

}  // namespace
}  // namespace bitrate
