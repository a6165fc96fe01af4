#include "engine/model/config_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

StatusOr<int64_t> IntOr(const nlohmann::json& config, std::string_view key, int64_t fallback, int64_t low,
                        int64_t high) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> value, FindInt(config, key));
  if (!value) return fallback;
  return GetIntInRange(config, key, low, high);
}

Status AddEosIds(const nlohmann::json& config, std::string_view key, ModelConfig& out) {
  const nlohmann::json* field = FindField(config, key);
  if (field == nullptr) return OkStatus();
  const auto add = [&](const nlohmann::json& value) -> Status {
    ASSIGN_OR_RETURN(const int64_t id, JsonToInt(value, key));
    if (id < 0 || id >= out.vocab_size) {
      return InvalidArgument("{}: got {}, wanted an id below vocab_size {}", key, id, out.vocab_size);
    }
    const auto id32 = static_cast<int32_t>(id);
    if (std::find(out.eos_ids.begin(), out.eos_ids.end(), id32) == out.eos_ids.end()) out.eos_ids.push_back(id32);
    return OkStatus();
  };
  if (!field->is_array()) return add(*field);
  if (field->size() > static_cast<size_t>(limits::kMaxStopTokenIds)) {
    return InvalidArgument("{}: got {} ids, wanted at most {}", key, field->size(), limits::kMaxStopTokenIds);
  }
  for (const nlohmann::json& value : *field) RETURN_IF_ERROR(add(value));
  return OkStatus();
}

Status ReadHeads(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(out.num_heads, GetIntInRange(config, "num_attention_heads", 1, limits::kMaxHeads));
  ASSIGN_OR_RETURN(out.num_kv_heads, IntOr(config, "num_key_value_heads", out.num_heads, 1, limits::kMaxHeads));
  if (out.num_heads % out.num_kv_heads != 0) {
    return InvalidArgument("num_key_value_heads: got {}, wanted a divisor of num_attention_heads {}", out.num_kv_heads,
                           out.num_heads);
  }
  ASSIGN_OR_RETURN(out.head_dim, IntOr(config, "head_dim", 0, 1, limits::kMaxHeadDim));
  if (out.head_dim == 0) {
    if (out.hidden_size % out.num_heads != 0) {
      return InvalidArgument("hidden_size: got {}, wanted a multiple of num_attention_heads {} (no head_dim is given)",
                             out.hidden_size, out.num_heads);
    }
    out.head_dim = out.hidden_size / out.num_heads;
  }
  if (out.head_dim % 2 != 0 || out.head_dim > limits::kMaxHeadDim) {
    return InvalidArgument("head_dim: got {}, wanted an even number up to {}", out.head_dim, limits::kMaxHeadDim);
  }
  return OkStatus();
}

bool IsNeutral(const nlohmann::json& value, double neutral) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == neutral;
  return value.empty();  // {} or [] switches nothing on
}

// Switches of the field's decoders, with the value that means "off" besides absent, null and false.
struct Switch {
  std::string_view key;
  double neutral = 0;
};
constexpr Switch kSwitches[] = {{"pretraining_tp", 1},
                                {"attn_logit_softcapping"},
                                {"final_logit_softcapping"},
                                {"sliding_window"},
                                {"use_sliding_window"},
                                {"use_bidirectional_attention"},
                                {"partial_rotary_factor", 1},
                                {"rope_interleaved"},
                                {"rope_local_base_freq"},
                                {"use_qk_norm"},
                                {"qk_layernorm"},
                                {"clip_qkv"},
                                {"num_local_experts"},
                                {"num_experts"},
                                {"embedding_multiplier", 1},
                                {"residual_multiplier", 1},
                                {"attention_multiplier", 1},
                                {"logits_scaling", 1},
                                {"logit_scale", 1},
                                {"query_pre_attn_scalar"},
                                {"no_rope_layers"},
                                {"use_bias"}};

}  // namespace

Status ReadShapes(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(out.vocab_size, GetIntInRange(config, "vocab_size", 1, limits::kMaxVocab));
  ASSIGN_OR_RETURN(out.hidden_size, GetIntInRange(config, "hidden_size", 1, limits::kMaxHidden));
  ASSIGN_OR_RETURN(out.intermediate_size, GetIntInRange(config, "intermediate_size", 1, limits::kMaxHidden));
  ASSIGN_OR_RETURN(out.num_layers, GetIntInRange(config, "num_hidden_layers", 1, limits::kMaxLayers));
  RETURN_IF_ERROR(ReadHeads(config, out));
  ASSIGN_OR_RETURN(out.max_positions, GetIntInRange(config, "max_position_embeddings", 1, limits::kMaxContext));
  ASSIGN_OR_RETURN(out.rms_norm_eps, GetFloat(config, "rms_norm_eps"));
  if (!(out.rms_norm_eps > 0 && out.rms_norm_eps < 1)) {
    return InvalidArgument("rms_norm_eps: got {}, wanted a number between 0 and 1", out.rms_norm_eps);
  }
  ASSIGN_OR_RETURN(const std::optional<bool> tied, FindBool(config, "tie_word_embeddings"));
  out.tie_word_embeddings = tied.value_or(false);
  return OkStatus();
}

Status ReadSpecialIds(const nlohmann::json& config, ModelConfig& out) {
  RETURN_IF_ERROR(AddEosIds(config, "eos_token_id", out));
  RETURN_IF_ERROR(AddEosIds(config, "generation_eos_token_id", out));
  out.bos_id = -1;
  const nlohmann::json* bos = FindField(config, "bos_token_id");
  if (bos == nullptr) return OkStatus();
  ASSIGN_OR_RETURN(const int64_t id, JsonToInt(*bos, "bos_token_id"));
  if (id >= out.vocab_size) {
    return InvalidArgument("bos_token_id: got {}, wanted an id below vocab_size {}", id, out.vocab_size);
  }
  if (id >= 0) out.bos_id = static_cast<int32_t>(id);  // some exporters write -1 for "none"
  return OkStatus();
}

Status ReadActivation(const nlohmann::json& config, ModelConfig& out) {
  for (const char* key : {"hidden_activation", "hidden_act"}) {
    ASSIGN_OR_RETURN(const std::optional<std::string> act, FindString(config, key));
    if (!act) continue;
    if (*act == "silu" || *act == "swish") {
      out.activation = Activation::kSilu;
    } else if (*act == "gelu_pytorch_tanh" || *act == "gelu_tanh") {
      out.activation = Activation::kGeluTanh;
    } else {
      return FailedPrecondition("{}: got \"{}\", wanted silu or gelu_pytorch_tanh (no other activation is supported)",
                                key, *act);
    }
    return OkStatus();
  }
  return OkStatus();
}

Status RefuseSwitches(const nlohmann::json& config, std::initializer_list<std::string_view> applied) {
  for (const Switch& item : kSwitches) {
    const nlohmann::json* value = FindField(config, item.key);
    if (value == nullptr || IsNeutral(*value, item.neutral)) continue;
    if (std::find(applied.begin(), applied.end(), item.key) != applied.end()) continue;
    return FailedPrecondition("{}: got {}, and this switch is not applied by this architecture's decoder", item.key,
                              JsonToText(*value).substr(0, 80));
  }
  return OkStatus();
}

Status ReadExperts(const nlohmann::json& config, std::initializer_list<std::string_view> count_keys,
                   std::string_view size_key, ModelConfig& out) {
  std::string_view count_key = *count_keys.begin();
  for (const std::string_view key : count_keys) {
    if (FindField(config, key) == nullptr) continue;
    count_key = key;
    break;
  }
  ASSIGN_OR_RETURN(out.num_experts, GetIntInRange(config, count_key, 1, limits::kMaxExperts));
  ASSIGN_OR_RETURN(out.experts_per_token, GetIntInRange(config, "num_experts_per_tok", 1, out.num_experts));
  ASSIGN_OR_RETURN(out.expert_size, GetIntInRange(config, size_key, 1, limits::kMaxHidden));
  out.expert_layers.assign(static_cast<size_t>(out.num_layers), true);
  return OkStatus();
}

Status ReadBiases(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(const std::optional<bool> attention_bias, FindBool(config, "attention_bias"));
  ASSIGN_OR_RETURN(const std::optional<bool> output_bias, FindBool(config, "attention_output_bias"));
  ASSIGN_OR_RETURN(const std::optional<bool> mlp_bias, FindBool(config, "mlp_bias"));
  out.attention_bias = attention_bias.value_or(false);
  out.attention_output_bias = output_bias.value_or(out.attention_bias);
  out.mlp_bias = mlp_bias.value_or(false);
  return OkStatus();
}

StatusOr<double> ReadScale(const nlohmann::json& config, std::string_view key, double fallback) {
  ASSIGN_OR_RETURN(const std::optional<double> value, FindFloat(config, key));
  if (!value) return fallback;
  constexpr double kMost = 1e6;
  if (!(*value > 0 && *value <= kMost)) {
    return InvalidArgument("{}: got {}, wanted a number above 0, at most {}", key, *value, kMost);
  }
  return *value;
}

Status ReadSlidingLayers(const nlohmann::json& config, bool (*slides)(int64_t layer, int64_t pattern), int64_t pattern,
                         ModelConfig& out) {
  ASSIGN_OR_RETURN(out.sliding_window, IntOr(config, "sliding_window", 0, 1, limits::kMaxContext));
  if (out.sliding_window == 0) return OkStatus();
  ASSIGN_OR_RETURN(const nlohmann::json* types, FindArray(config, "layer_types"));
  if (types != nullptr && static_cast<int64_t>(types->size()) != out.num_layers) {
    return InvalidArgument("layer_types: got {} entries, wanted num_hidden_layers = {}", types->size(), out.num_layers);
  }
  out.sliding_layers.resize(static_cast<size_t>(out.num_layers));
  for (int64_t i = 0; i < out.num_layers; ++i) {
    bool sliding = slides(i, pattern);
    if (types != nullptr) {
      const nlohmann::json& type = (*types)[static_cast<size_t>(i)];
      sliding = type == "sliding_attention";
      if (!sliding && type != "full_attention") {
        return FailedPrecondition("layer_types[{}]: got {}, wanted sliding_attention or full_attention", i,
                                  JsonToText(type).substr(0, 80));
      }
    }
    out.sliding_layers[static_cast<size_t>(i)] = sliding;
  }
  return OkStatus();
}

Status ReadCommon(const nlohmann::json& config, ModelConfig& out) {
  RETURN_IF_ERROR(ReadShapes(config, out));
  RETURN_IF_ERROR(ReadSpecialIds(config, out));
  return ReadActivation(config, out);
}

}  // namespace bitrate
