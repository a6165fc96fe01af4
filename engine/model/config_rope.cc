// ReadRope: the rotary parameters of both config.json styles.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

constexpr double kMaxFactor = 1e6;

StatusOr<double> PositiveOr(const nlohmann::json& object, std::string_view key, double fallback, double high) {
  ASSIGN_OR_RETURN(const std::optional<double> value, FindFloat(object, key));
  if (!value) return fallback;
  if (!(*value > 0 && *value <= high)) {
    return InvalidArgument("{}: got {}, wanted a number above 0, at most {}", key, *value, high);
  }
  return *value;
}

// A rope field that this file does not read might change the angles: refused by name.
Status RefuseUnknownKeys(const nlohmann::json& rope, RopeConfig::Kind kind, const ModelConfig& out) {
  static constexpr std::string_view kKnown[] = {"rope_type",
                                                "type",
                                                "rope_theta",
                                                "factor",
                                                "low_freq_factor",
                                                "high_freq_factor",
                                                "original_max_position_embeddings",
                                                "beta_fast",
                                                "beta_slow",
                                                "attention_factor",
                                                "mscale",
                                                "mscale_all_dim",
                                                "truncate",
                                                "partial_rotary_factor"};
  for (const auto& [key, value] : rope.items()) {
    if (kind == RopeConfig::Kind::kLongRope && (key == "short_factor" || key == "long_factor")) continue;
    if (value.is_null() || std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown)) continue;
    return FailedPrecondition("{}: this rope parameter is not supported (layer-wise rope neither)", key);
  }
  return out.rotary_dim > 0 ? OkStatus() : RefuseSwitches(rope, {});
}

StatusOr<RopeConfig::Kind> ReadKind(const nlohmann::json& rope) {
  ASSIGN_OR_RETURN(std::optional<std::string> type, FindString(rope, "rope_type"));
  if (!type) {
    ASSIGN_OR_RETURN(type, FindString(rope, "type"));
  }
  const std::string name = type.value_or("default");
  if (name == "default") return RopeConfig::Kind::kDefault;
  if (name == "linear") return RopeConfig::Kind::kLinear;
  if (name == "llama3") return RopeConfig::Kind::kLlama3;
  if (name == "yarn") return RopeConfig::Kind::kYarn;
  if (name == "longrope" || name == "su") return RopeConfig::Kind::kLongRope;  // "su": in the first Phi-3 files
  return FailedPrecondition("rope_type: \"{}\" is not supported, wanted default, linear, llama3, yarn or longrope",
                            name);
}

StatusOr<int64_t> OriginalMaxPositions(const nlohmann::json& config, const nlohmann::json& rope) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  for (const nlohmann::json* object : {&rope, &config}) {
    if (FindField(*object, kKey) != nullptr) return GetIntInRange(*object, kKey, 1, limits::kMaxContext);
  }
  return 0;
}

Status ReadLlama3(const nlohmann::json& rope, RopeConfig& out) {
  ASSIGN_OR_RETURN(out.low_freq_factor, PositiveOr(rope, "low_freq_factor", 1.0, kMaxFactor));
  ASSIGN_OR_RETURN(out.high_freq_factor, PositiveOr(rope, "high_freq_factor", 4.0, kMaxFactor));
  if (out.high_freq_factor <= out.low_freq_factor) {
    return InvalidArgument("high_freq_factor: got {}, wanted more than low_freq_factor {}", out.high_freq_factor,
                           out.low_freq_factor);
  }
  if (out.original_max_positions == 0) {
    return InvalidArgument("original_max_position_embeddings: missing, wanted by rope_type llama3");
  }
  return OkStatus();
}

Status ReadYarn(const nlohmann::json& rope, const ModelConfig& config, RopeConfig& out) {
  ASSIGN_OR_RETURN(out.beta_fast, PositiveOr(rope, "beta_fast", 32.0, kMaxFactor));
  ASSIGN_OR_RETURN(out.beta_slow, PositiveOr(rope, "beta_slow", 1.0, kMaxFactor));
  ASSIGN_OR_RETURN(out.attention_factor, PositiveOr(rope, "attention_factor", 0.0, 100.0));
  // Zero switches mscale off, as in transformers.
  ASSIGN_OR_RETURN(const std::optional<double> mscale, FindFloat(rope, "mscale"));
  ASSIGN_OR_RETURN(const std::optional<double> all_dim, FindFloat(rope, "mscale_all_dim"));
  out.mscale = mscale.value_or(0);
  out.mscale_all_dim = all_dim.value_or(0);
  for (const double value : {out.mscale, out.mscale_all_dim}) {
    if (!(value >= 0 && value <= 100)) return InvalidArgument("mscale: got {}, wanted 0 to 100", value);
  }
  ASSIGN_OR_RETURN(const std::optional<bool> truncate, FindBool(rope, "truncate"));
  out.truncate = truncate.value_or(true);
  if (out.original_max_positions == 0) out.original_max_positions = config.max_positions;
  if (out.theta <= 1.0) return InvalidArgument("rope_theta: got {}, wanted more than 1 with yarn", out.theta);
  return OkStatus();
}

// One divisor for each of the frequencies that `shapes` has.
Status ReadDivisors(const nlohmann::json& list, std::string_view key, const ModelConfig& shapes,
                    std::vector<float>& out) {
  const int64_t half_dim = (shapes.rotary_dim > 0 ? shapes.rotary_dim : shapes.head_dim) / 2;
  if (static_cast<int64_t>(list.size()) != half_dim) {
    return InvalidArgument("{}: got {} numbers, wanted head_dim / 2 = {}", key, list.size(), half_dim);
  }
  for (const nlohmann::json& item : list) {
    ASSIGN_OR_RETURN(const double value, JsonToFloat(item, key));
    if (!(value > 0 && value <= kMaxFactor)) {
      return InvalidArgument("{}: got {}, wanted numbers above 0, at most {}", key, value, kMaxFactor);
    }
    out.push_back(static_cast<float>(value));
  }
  return OkStatus();
}

// "rope_factors": how GGUF stores llama 3 scaling, a divisor for each frequency beside rope_type default.
Status ReadFactors(const nlohmann::json& config, ModelConfig& out) {
  constexpr std::string_view kKey = "rope_factors";
  ASSIGN_OR_RETURN(const nlohmann::json* list, FindArray(config, kKey));
  if (list == nullptr) return OkStatus();
  if (out.rope.kind != RopeConfig::Kind::kDefault) {
    return FailedPrecondition("{}: not supported together with another rope scaling", kKey);
  }
  out.rope.kind = RopeConfig::Kind::kFactors;
  return ReadDivisors(*list, kKey, out, out.rope.factors);
}

// `factor` is the ratio of the two contexts where the file does not say it.
Status ReadLongRope(const nlohmann::json& rope, const ModelConfig& shapes, RopeConfig& out) {
  if (out.original_max_positions < 2) {  // its logarithm is a divisor
    return InvalidArgument("original_max_position_embeddings: got {}, wanted at least 2 with longrope",
                           out.original_max_positions);
  }
  if (FindField(rope, "factor") == nullptr) {
    out.factor = static_cast<double>(shapes.max_positions) / static_cast<double>(out.original_max_positions);
  }
  ASSIGN_OR_RETURN(out.attention_factor, PositiveOr(rope, "attention_factor", 0.0, 100.0));
  ASSIGN_OR_RETURN(const nlohmann::json* short_factor, GetArray(rope, "short_factor"));
  RETURN_IF_ERROR(ReadDivisors(*short_factor, "short_factor", shapes, out.factors));
  ASSIGN_OR_RETURN(const nlohmann::json* long_factor, GetArray(rope, "long_factor"));
  return ReadDivisors(*long_factor, "long_factor", shapes, out.long_factors);
}

// One object of rope parameters; `config` gives what old styles keep outside it.
Status ReadRopeObject(const nlohmann::json& rope, const nlohmann::json& config, const ModelConfig& shapes,
                      RopeConfig& r) {
  ASSIGN_OR_RETURN(r.kind, ReadKind(rope));
  RETURN_IF_ERROR(RefuseUnknownKeys(rope, r.kind, shapes));
  const bool own_theta = FindField(rope, "rope_theta") != nullptr;
  ASSIGN_OR_RETURN(r.theta, PositiveOr(own_theta ? rope : config, "rope_theta", 10000.0, 1e15));
  const bool needs_factor =
      r.kind == RopeConfig::Kind::kLinear || r.kind == RopeConfig::Kind::kLlama3 || r.kind == RopeConfig::Kind::kYarn;
  if (needs_factor && FindField(rope, "factor") == nullptr) return InvalidArgument("factor: missing");
  ASSIGN_OR_RETURN(r.factor, PositiveOr(rope, "factor", 1.0, kMaxFactor));
  ASSIGN_OR_RETURN(r.original_max_positions, OriginalMaxPositions(config, rope));
  if (r.kind == RopeConfig::Kind::kLlama3) return ReadLlama3(rope, r);
  if (r.kind == RopeConfig::Kind::kYarn) return ReadYarn(rope, shapes, r);
  if (r.kind == RopeConfig::Kind::kLongRope) return ReadLongRope(rope, shapes, r);
  return OkStatus();
}

}  // namespace

Status ReadRope(const nlohmann::json& config, ModelConfig& out) {
  static const nlohmann::json kNone = nlohmann::json::object();
  ASSIGN_OR_RETURN(const nlohmann::json* rope, FindObject(config, "rope_parameters"));
  const char* where = rope != nullptr ? "rope_parameters" : "rope_scaling";
  if (rope == nullptr) {
    ASSIGN_OR_RETURN(rope, FindObject(config, "rope_scaling"));
  }
  if (rope == nullptr) rope = &kNone;
  RETURN_IF_ERROR(Annotate(ReadRopeObject(*rope, config, out, out.rope), where));
  return ReadFactors(config, out);
}

Status ReadRopeByLayerType(const nlohmann::json& config, ModelConfig& out) {
  out.has_local_rope = true;
  ASSIGN_OR_RETURN(const nlohmann::json* rope, FindObject(config, "rope_parameters"));
  if (rope == nullptr) {
    ASSIGN_OR_RETURN(out.local_rope.theta, PositiveOr(config, "rope_local_base_freq", 10000.0, 1e15));
    return ReadRope(config, out);
  }
  for (const auto& [key, value] : rope->items()) {
    if (key == "full_attention" || key == "sliding_attention") continue;
    return FailedPrecondition("rope_parameters.{}: not supported, wanted full_attention and sliding_attention", key);
  }
  const auto read = [&](const char* key, RopeConfig& into) -> Status {
    ASSIGN_OR_RETURN(const nlohmann::json* object, GetObject(*rope, key));
    RETURN_IF_ERROR(Annotate(ReadRopeObject(*object, config, out, into), key));
    if (into.kind != RopeConfig::Kind::kLongRope) return OkStatus();
    return FailedPrecondition("{}: longrope by layer type is not supported", key);
  };
  RETURN_IF_ERROR(Annotate(read("full_attention", out.rope), "rope_parameters"));
  return Annotate(read("sliding_attention", out.local_rope), "rope_parameters");
}

Status ReadRotaryDim(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(const nlohmann::json* rope, FindObject(config, "rope_parameters"));
  constexpr std::string_view kKey = "partial_rotary_factor";
  const bool own = rope != nullptr && FindField(*rope, kKey) != nullptr;
  ASSIGN_OR_RETURN(const double factor, PositiveOr(own ? *rope : config, kKey, 1.0, 1.0));
  out.rotary_dim = static_cast<int64_t>(static_cast<double>(out.head_dim) * factor);
  if (out.rotary_dim < 2 || out.rotary_dim % 2 != 0) {
    return InvalidArgument("{}: got {}, which turns {} of {} dimensions, wanted an even number of them", kKey, factor,
                           out.rotary_dim, out.head_dim);
  }
  return OkStatus();
}

}  // namespace bitrate
