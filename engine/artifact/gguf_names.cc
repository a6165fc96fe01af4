#include "engine/artifact/gguf_names.h"

#include <algorithm>
#include <span>

namespace bitrate {
namespace {

struct Pair {
  std::string_view gguf, canonical;
};

constexpr Pair kGlobal[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};

constexpr Pair kLayer[] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// Gemma norms both what goes into a part of a layer and what comes out of it; OLMo 2 only the latter.
constexpr Pair kPostNormLayer[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
};

// q|k|v and gate|up are one tensor each.
constexpr Pair kPhi3Layer[] = {{"attn_qkv", "self_attn.qkv_proj"}, {"ffn_up", "mlp.gate_up_proj"}};

constexpr Pair kMixtralLayer[] = {{"ffn_gate_inp", "block_sparse_moe.gate"}};
constexpr Pair kMixtralExperts[] = {{"ffn_gate_exps", "w1"}, {"ffn_down_exps", "w2"}, {"ffn_up_exps", "w3"}};

constexpr Pair kMoeLayer[] = {{"ffn_gate_inp", "mlp.gate"}};
constexpr Pair kMoeExperts[] = {
    {"ffn_gate_exps", "gate_proj"}, {"ffn_down_exps", "down_proj"}, {"ffn_up_exps", "up_proj"}};

// What an architecture has beside, or instead of, kLayer.
struct Names {
  std::string_view architecture;
  std::span<const Pair> layer;
  std::string_view experts;  // module of the experts of a layer
  std::span<const Pair> expert;
};
constexpr Names kArchitectures[] = {
    {"llama", kMixtralLayer, "block_sparse_moe.experts.", kMixtralExperts},
    {"qwen2", {}, "", {}},
    {"qwen3", {}, "", {}},
    {"qwen3moe", kMoeLayer, "mlp.experts.", kMoeExperts},
    {"gemma2", kPostNormLayer, "", {}},
    {"gemma3", kPostNormLayer, "", {}},
    {"phi3", kPhi3Layer, "", {}},
    {"olmo2", kPostNormLayer, "", {}},
    {"granite", {}, "", {}},
};

const Names* Find(std::string_view architecture) {
  const auto* found = std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                                   [&](const Names& names) { return names.architecture == architecture; });
  return found == std::end(kArchitectures) ? nullptr : found;
}

std::optional<std::string_view> Lookup(std::span<const Pair> pairs, std::string_view name) {
  for (const Pair& pair : pairs) {
    if (pair.gguf == name) return pair.canonical;
  }
  return std::nullopt;
}

struct Parts {
  std::string_view layer;   // digits, empty for a global tensor
  std::string_view module;  // "attn_q"
  std::string_view suffix;  // ".weight", ".bias"
};

// A layer number without leading zeros, so that no two names of a file mean one tensor.
bool IsLayerNumber(std::string_view text) {
  if (text.empty() || text.size() > 6 || (text.size() > 1 && text[0] == '0')) return false;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

std::optional<Parts> Split(std::string_view name) {
  Parts parts;
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  parts.suffix = name.substr(dot);
  if (parts.suffix != ".weight" && parts.suffix != ".bias") return std::nullopt;
  parts.module = name.substr(0, dot);
  constexpr std::string_view kBlock = "blk.";
  if (parts.module.substr(0, kBlock.size()) != kBlock) return parts;
  parts.module.remove_prefix(kBlock.size());
  const size_t end = parts.module.find('.');
  if (end == std::string_view::npos) return std::nullopt;
  parts.layer = parts.module.substr(0, end);
  parts.module.remove_prefix(end + 1);
  if (!IsLayerNumber(parts.layer)) return std::nullopt;
  return parts;
}

}  // namespace

bool IsMappedGgufArchitecture(std::string_view architecture) { return Find(architecture) != nullptr; }

std::string CanonicalTensorName(std::string_view architecture, std::string_view name) {
  const std::optional<Parts> parts = Split(name);
  const Names* names = Find(architecture);
  if (names == nullptr || !parts) return std::string(name);
  std::optional<std::string_view> canonical;
  if (!parts->layer.empty()) canonical = Lookup(names->layer, parts->module);
  if (!canonical) canonical = parts->layer.empty() ? Lookup(kGlobal, parts->module) : Lookup(kLayer, parts->module);
  if (!canonical) return std::string(name);
  std::string out;
  if (!parts->layer.empty()) out = "model.layers." + std::string(parts->layer) + ".";
  return out.append(*canonical).append(parts->suffix);
}

std::optional<ExpertNames> StackedExpertNames(std::string_view architecture, std::string_view name) {
  const std::optional<Parts> parts = Split(name);
  const Names* names = Find(architecture);
  if (names == nullptr || !parts || parts->layer.empty() || parts->suffix != ".weight") return std::nullopt;
  const std::optional<std::string_view> matrix = Lookup(names->expert, parts->module);
  if (!matrix) return std::nullopt;
  ExpertNames out;
  out.before.append("model.layers.").append(parts->layer).append(".").append(names->experts);
  out.after.append(".").append(*matrix).append(parts->suffix);
  return out;
}

RowPermutation StoredPermutation(std::string_view architecture, std::string_view name) {
  const std::optional<Parts> parts = Split(name);
  if ((architecture != "llama" && architecture != "granite") || !parts || parts->layer.empty()) {
    return RowPermutation::kNone;
  }
  if (parts->module == "attn_q") return RowPermutation::kQueryHeads;
  if (parts->module == "attn_k") return RowPermutation::kKeyHeads;
  return RowPermutation::kNone;
}

}  // namespace bitrate
