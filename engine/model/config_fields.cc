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

Status RequireSilu(const nlohmann::json& config) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    ASSIGN_OR_RETURN(const std::optional<std::string> act, FindString(config, key));
    if (act && *act != "silu" && *act != "swish") {
      return FailedPrecondition("{}: got \"{}\", wanted silu (no other activation is supported)", key, *act);
    }
  }
  return OkStatus();
}

Status RefuseQuantizationConfig(const nlohmann::json& config) {
  const nlohmann::json* field = FindField(config, "quantization_config");
  if (field == nullptr) return OkStatus();
  ASSIGN_OR_RETURN(const std::optional<std::string> method, FindString(*field, "quant_method"));
  return FailedPrecondition("quantization_config: checkpoints quantized by \"{}\" are not supported yet",
                            method.value_or("?"));
}

Status RefuseSwitches(const nlohmann::json& config, std::initializer_list<UnappliedSwitch> switches) {
  for (const UnappliedSwitch& item : switches) {
    const nlohmann::json* value = FindField(config, item.key);
    if (value == nullptr || IsNeutral(*value, item.neutral)) continue;
    return FailedPrecondition("{}: got {}, and this switch is not applied by this architecture's decoder", item.key,
                              JsonToText(*value).substr(0, 80));
  }
  return OkStatus();
}

}  // namespace bitrate
