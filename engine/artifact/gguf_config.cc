#include "engine/artifact/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "engine/artifact/checked.h"
#include "engine/artifact/gguf_names.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kRopeFactors = "rope_freqs.weight";

// Keys of one architecture: "llama." + name.
class Keys {
 public:
  Keys(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  std::string Key(std::string_view name) const { return prefix_ + std::string(name); }
  bool Has(std::string_view name) const { return metadata_.Has(Key(name)); }

  StatusOr<int64_t> Int(std::string_view name, int64_t limit) const {
    const std::string key = Key(name);
    StatusOr<int64_t> value = metadata_.GetI64(key);
    // What the file must have and has not is a malformed file, not a missing one.
    if (value.status().code() == StatusCode::kNotFound) return InvalidArgument("GGUF metadata {}: missing", key);
    if (metadata_.TypeText(key).ends_with(']')) {
      return FailedPrecondition("GGUF metadata {}: a value per layer is not supported", key);
    }
    if (!value.ok()) return value;
    if (*value < 1 || *value > limit) {
      return InvalidArgument("GGUF metadata {}: got {}, want 1 to {}", key, *value, limit);
    }
    return value;
  }
  StatusOr<int64_t> IntOr(std::string_view name, int64_t limit, int64_t fallback) const {
    if (!Has(name)) return fallback;
    return Int(name, limit);
  }
  // A number that the architecture cannot do without.
  StatusOr<double> Float(std::string_view name) const {
    if (!Has(name)) return InvalidArgument("GGUF metadata {}: missing", Key(name));
    return Float(name, 0);
  }
  StatusOr<double> Float(std::string_view name, double fallback) const {
    ASSIGN_OR_RETURN(const double value, metadata_.GetF64Or(Key(name), fallback));
    if (!std::isfinite(value)) return InvalidArgument("GGUF metadata {}: not a finite number", Key(name));
    return value;
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

Status AddShapes(const GgufMetadata& metadata, const Keys& keys, std::string_view architecture, json* config) {
  ASSIGN_OR_RETURN(const int64_t hidden, keys.Int("embedding_length", limits::kMaxHidden));
  ASSIGN_OR_RETURN(const int64_t inner, keys.Int("feed_forward_length", limits::kMaxHidden));
  ASSIGN_OR_RETURN(const int64_t layers, keys.Int("block_count", limits::kMaxLayers));
  ASSIGN_OR_RETURN(const int64_t context, keys.Int("context_length", limits::kMaxContext));
  ASSIGN_OR_RETURN(const GgufHeads heads, ReadGgufHeads(metadata, architecture));
  if (!keys.Has("attention.key_length") && hidden % heads.query != 0) {
    return InvalidArgument("GGUF metadata {}: {} is not a multiple of the {} heads", keys.Key("embedding_length"),
                           hidden, heads.query);
  }
  ASSIGN_OR_RETURN(const int64_t head_dim,
                   keys.IntOr("attention.key_length", limits::kMaxHeadDim, hidden / heads.query));
  ASSIGN_OR_RETURN(const int64_t value_dim, keys.IntOr("attention.value_length", limits::kMaxHeadDim, head_dim));
  if (value_dim != head_dim) {
    return FailedPrecondition("GGUF metadata {}: {} differs from the key length {}; that is not supported",
                              keys.Key("attention.value_length"), value_dim, head_dim);
  }
  ASSIGN_OR_RETURN(const int64_t rotary, keys.IntOr("rope.dimension_count", limits::kMaxHeadDim, head_dim));
  if (rotary != head_dim) {
    (*config)["partial_rotary_factor"] = static_cast<double>(rotary) / static_cast<double>(head_dim);
  }
  ASSIGN_OR_RETURN(const double eps, keys.Float("attention.layer_norm_rms_epsilon", 1e-5));
  (*config)["hidden_size"] = hidden;
  (*config)["intermediate_size"] = inner;
  (*config)["num_hidden_layers"] = layers;
  (*config)["max_position_embeddings"] = context;
  (*config)["num_attention_heads"] = heads.query;
  (*config)["num_key_value_heads"] = heads.key_value;
  (*config)["head_dim"] = head_dim;
  (*config)["rms_norm_eps"] = eps;
  (*config)["hidden_act"] = "silu";
  // 0: Phi-4, which has none.
  if (keys.Has("attention.sliding_window") && metadata.GetI64(keys.Key("attention.sliding_window")).value_or(1) != 0) {
    ASSIGN_OR_RETURN(const int64_t window, keys.Int("attention.sliding_window", limits::kMaxContext));
    (*config)["sliding_window"] = window;
  }
  return OkStatus();
}

// The embedding's own rows decide; the key and the token list are for files without one.
StatusOr<int64_t> VocabSize(const GgufMetadata& metadata, const Keys& keys, const TensorTable& tensors) {
  for (const TensorInfo& info : tensors.infos()) {
    if (info.canonical_name == "model.embed_tokens.weight" && info.shape.size() == 2) return info.shape[0];
  }
  if (keys.Has("vocab_size")) return keys.Int("vocab_size", limits::kMaxVocab);
  if (!metadata.Has("tokenizer.ggml.tokens")) {
    return InvalidArgument("GGUF metadata {}: missing, and no token_embd.weight either", keys.Key("vocab_size"));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> tokens, metadata.GetStringArray("tokenizer.ggml.tokens"));
  return static_cast<int64_t>(tokens.size());
}

Status AddYarn(const Keys& keys, int64_t context, double factor, json* rope) {
  ASSIGN_OR_RETURN(const int64_t original,
                   keys.IntOr("rope.scaling.original_context_length", limits::kMaxContext, context));
  (*rope)["original_max_position_embeddings"] = original;
  for (const auto& [name, field] :
       {std::pair("rope.scaling.yarn_beta_fast", "beta_fast"), std::pair("rope.scaling.yarn_beta_slow", "beta_slow")}) {
    if (!keys.Has(name)) continue;
    ASSIGN_OR_RETURN((*rope)[field], keys.Float(name, 0));
  }
  for (const char* name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
    ASSIGN_OR_RETURN(const double attention, keys.Float(name, 1.0));
    // GGUF multiplies yarn's own factor by this one; Hugging Face states the product.
    if (attention != 1.0) (*rope)["attention_factor"] = attention * (0.1 * std::log(factor) + 1.0);
  }
  for (const char* name : {"rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor"}) {
    ASSIGN_OR_RETURN(const double value, keys.Float(name, 0));
    if (keys.Has(name) && value != 0 && value != 1) {
      return FailedPrecondition("GGUF metadata {}: {} is not supported", keys.Key(name), value);
    }
  }
  return OkStatus();
}

// The divisors that a tensor has for the frequencies of a rope.
StatusOr<std::vector<float>> RopeFactors(const TensorTable& tensors, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<float> factors, tensors.Vector(name));
  if (static_cast<int64_t>(factors.size()) > limits::kMaxHeadDim) {
    return InvalidArgument("GGUF tensor {}: {} factors, the limit is {}", name, factors.size(), limits::kMaxHeadDim);
  }
  for (float value : factors) {
    if (!std::isfinite(value) || value <= 0) {
      return InvalidArgument("GGUF tensor {}: a factor of {}, want numbers above 0", name, value);
    }
  }
  return factors;
}

Status AddRope(const GgufMetadata& metadata, const Keys& keys, const TensorTable& tensors, json* config) {
  json rope = json::object();
  ASSIGN_OR_RETURN(const double theta, keys.Float("rope.freq_base", 10000.0));
  ASSIGN_OR_RETURN(const std::string type, metadata.GetStringOr(keys.Key("rope.scaling.type"), ""));
  ASSIGN_OR_RETURN(const double legacy_factor, keys.Float("rope.scale_linear", 1.0));
  ASSIGN_OR_RETURN(const double factor, keys.Float("rope.scaling.factor", legacy_factor));
  if (!(theta > 0) || !(factor >= 0)) {
    return InvalidArgument("GGUF metadata {}: {} with scaling factor {}; want numbers above 0",
                           keys.Key("rope.freq_base"), theta, factor);
  }
  rope["rope_theta"] = theta;
  rope["rope_type"] = "default";
  const bool scaled = factor != 0 && factor != 1;  // 0 means no scaling, as in the tools that write these files
  if (type == "yarn") {
    rope["rope_type"] = "yarn";
    rope["factor"] = scaled ? factor : 1.0;
    RETURN_IF_ERROR(AddYarn(keys, (*config)["max_position_embeddings"].get<int64_t>(), scaled ? factor : 1.0, &rope));
  } else if (type == "linear" || type.empty()) {
    if (scaled) {
      rope["rope_type"] = "linear";
      rope["factor"] = factor;
    }
  } else if (type != "none") {
    return FailedPrecondition("GGUF metadata {}: \"{}\" is not supported", keys.Key("rope.scaling.type"),
                              Printable(type));
  }
  (*config)["rope_parameters"] = std::move(rope);
  if (!tensors.Has(kRopeFactors)) return OkStatus();
  ASSIGN_OR_RETURN((*config)["rope_factors"], RopeFactors(tensors, kRopeFactors));
  return OkStatus();
}

Status AddTokens(const GgufMetadata& metadata, json* config) {
  json stops = json::array();
  const auto token = [&](std::string_view name) -> StatusOr<int64_t> {
    const std::string key = "tokenizer.ggml." + std::string(name);
    if (!metadata.Has(key)) return int64_t{-1};
    ASSIGN_OR_RETURN(const uint64_t id, metadata.GetU64(key));
    // Some converters write 2^32 - 1 for "there is none".
    return id < static_cast<uint64_t>(limits::kMaxVocab) ? static_cast<int64_t>(id) : int64_t{-1};
  };
  for (const char* name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    ASSIGN_OR_RETURN(const int64_t id, token(name));
    if (id >= 0 && std::find(stops.begin(), stops.end(), json(id)) == stops.end()) stops.push_back(id);
  }
  for (const char* name : {"bos_token_id", "eos_token_id"}) {
    ASSIGN_OR_RETURN(const int64_t id, token(name));
    if (id >= 0) (*config)[name] = id;
  }
  if (!stops.empty()) (*config)["generation_eos_token_id"] = std::move(stops);
  return OkStatus();
}

// What the files leave to their readers' tables of Gemma's sizes: attention is scaled by the head's size, but in the
// 27B model, known by its number of layers, by the width of a head's share.
void AddGemma(int layers_of_27b, json* config) {
  json& c = *config;
  c.erase("hidden_act");
  c["hidden_activation"] = "gelu_pytorch_tanh";
  c["norm_weights_include_one"] = true;  // the converter adds it
  const bool is_27b = c["num_hidden_layers"] == layers_of_27b;
  c["query_pre_attn_scalar"] =
      is_27b ? c["hidden_size"].get<int64_t>() / c["num_attention_heads"].get<int64_t>() : c["head_dim"].get<int64_t>();
}

Status AddGemma2(const Keys& keys, json* config) {
  AddGemma(46, config);
  ASSIGN_OR_RETURN((*config)["attn_logit_softcapping"], keys.Float("attn_logit_softcapping", 50.0));
  ASSIGN_OR_RETURN((*config)["final_logit_softcapping"], keys.Float("final_logit_softcapping", 30.0));
  if (!config->contains("sliding_window")) (*config)["sliding_window"] = 4096;  // of files older than the key
  return OkStatus();
}

Status AddGemma3(const Keys& keys, json* config) {
  AddGemma(62, config);
  json& c = *config;
  c["sliding_window_pattern"] = 6;
  ASSIGN_OR_RETURN(const double local_theta, keys.Float("rope.freq_base_swa", 10000.0));
  json full = std::move(c["rope_parameters"]);
  c["rope_parameters"] = {{"full_attention", std::move(full)},
                          {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", local_theta}}}};
  return OkStatus();
}

Status AddGranite(const Keys& keys, json* config) {
  constexpr std::pair<const char*, const char*> kScales[] = {{"attention.scale", "attention_multiplier"},
                                                             {"embedding_scale", "embedding_multiplier"},
                                                             {"residual_scale", "residual_multiplier"},
                                                             {"logit_scale", "logits_scaling"}};
  for (const auto& [name, field] : kScales) {
    ASSIGN_OR_RETURN((*config)[field], keys.Float(name));
  }
  return OkStatus();
}

// Two tensors of factors are longrope; without them the rope is plain, whatever the file says of scaling it.
Status AddPhi3(const Keys& keys, const TensorTable& tensors, json* config) {
  constexpr std::string_view kLong = "rope_factors_long.weight", kShort = "rope_factors_short.weight";
  if (!tensors.Has(kLong) && !tensors.Has(kShort)) return OkStatus();
  json& rope = (*config)["rope_parameters"];
  rope["rope_type"] = "longrope";
  ASSIGN_OR_RETURN(rope["long_factor"], RopeFactors(tensors, kLong));
  ASSIGN_OR_RETURN(rope["short_factor"], RopeFactors(tensors, kShort));
  ASSIGN_OR_RETURN(rope["original_max_position_embeddings"],
                   keys.Int("rope.scaling.original_context_length", limits::kMaxContext));
  ASSIGN_OR_RETURN(rope["attention_factor"], keys.Float("rope.scaling.attn_factor", 1.0));
  return OkStatus();
}

// Switches of routers: only a softmax over all experts whose chosen weights are, or are not, made to sum to 1.
Status AddExperts(const GgufMetadata& metadata, const Keys& keys, std::string_view architecture, json* config) {
  ASSIGN_OR_RETURN(const int64_t experts, ReadGgufExperts(metadata, architecture));
  (*config)[architecture == "llama" ? "num_local_experts" : "num_experts"] = experts;  // as their folders call it
  if (keys.Has("expert_used_count")) {
    ASSIGN_OR_RETURN((*config)["num_experts_per_tok"], keys.Int("expert_used_count", limits::kMaxExperts));
  }
  if (keys.Has("expert_feed_forward_length")) {
    ASSIGN_OR_RETURN((*config)["moe_intermediate_size"], keys.Int("expert_feed_forward_length", limits::kMaxHidden));
  }
  ASSIGN_OR_RETURN(const bool normalized, metadata.GetBoolOr(keys.Key("expert_weights_norm"), true));
  (*config)["norm_topk_prob"] = normalized;
  if (!normalized && architecture == "llama") {
    return FailedPrecondition("GGUF metadata {}: false is not supported", keys.Key("expert_weights_norm"));
  }
  constexpr std::pair<const char*, uint64_t> kNeutral[] = {
      {"expert_shared_count", 0}, {"expert_gating_func", 1}, {"expert_group_count", 1}};
  for (const auto& [name, neutral] : kNeutral) {
    ASSIGN_OR_RETURN(const uint64_t value, metadata.GetU64Or(keys.Key(name), neutral));
    if (value == neutral || value == 0) continue;
    return FailedPrecondition("GGUF metadata {}: {} is not supported", keys.Key(name), value);
  }
  ASSIGN_OR_RETURN(const double scale, keys.Float("expert_weights_scale", 1.0));
  if (scale == 1 || scale == 0) return OkStatus();
  return FailedPrecondition("GGUF metadata {}: {} is not supported", keys.Key("expert_weights_scale"), scale);
}

struct ModelName {
  std::string_view architecture, model_type, class_name;
};
constexpr ModelName kModelNames[] = {
    {"llama", "llama", "LlamaForCausalLM"},         {"qwen2", "qwen2", "Qwen2ForCausalLM"},
    {"qwen3", "qwen3", "Qwen3ForCausalLM"},         {"gemma2", "gemma2", "Gemma2ForCausalLM"},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM"}, {"phi3", "phi3", "Phi3ForCausalLM"},
    {"olmo2", "olmo2", "Olmo2ForCausalLM"},         {"granite", "granite", "GraniteForCausalLM"}};
constexpr ModelName kMoeModelNames[] = {{"llama", "mixtral", "MixtralForCausalLM"},
                                        {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM"}};

// An architecture with experts that is not in the table is named as one, for whoever refuses it.
void AddModelName(std::string_view architecture, bool has_experts, json* config) {
  if (has_experts) (*config)["model_type"] = std::string(architecture) + "_moe";
  const std::span<const ModelName> names =
      has_experts ? std::span<const ModelName>(kMoeModelNames) : std::span<const ModelName>(kModelNames);
  for (const ModelName& name : names) {
    if (name.architecture != architecture) continue;
    (*config)["model_type"] = name.model_type;
    (*config)["architectures"] = json::array({name.class_name});
  }
}

}  // namespace

StatusOr<GgufHeads> ReadGgufHeads(const GgufMetadata& metadata, std::string_view architecture) {
  const Keys keys(metadata, architecture);
  GgufHeads heads;
  ASSIGN_OR_RETURN(heads.query, keys.Int("attention.head_count", limits::kMaxHeads));
  ASSIGN_OR_RETURN(heads.key_value, keys.IntOr("attention.head_count_kv", limits::kMaxHeads, heads.query));
  return heads;
}

StatusOr<int64_t> ReadGgufExperts(const GgufMetadata& metadata, std::string_view architecture) {
  return Keys(metadata, architecture).Int("expert_count", limits::kMaxExperts);
}

StatusOr<json> MakeGgufConfig(const GgufMetadata& metadata, const TensorTable& tensors) {
  StatusOr<std::string> architecture = metadata.GetString("general.architecture");
  if (architecture.status().code() == StatusCode::kNotFound) {
    return InvalidArgument("GGUF metadata general.architecture: missing");
  }
  if (!architecture.ok()) return architecture.status();
  json config = {{"model_type", *architecture}};
  if (!IsMappedGgufArchitecture(*architecture)) {
    if (!IsValidUtf8(*architecture)) config["model_type"] = Printable(*architecture);
    return config;
  }
  const Keys keys(metadata, *architecture);
  ASSIGN_OR_RETURN(const uint64_t experts, metadata.GetU64Or(keys.Key("expert_count"), 0));
  AddModelName(*architecture, experts > 0, &config);
  RETURN_IF_ERROR(AddShapes(metadata, keys, *architecture, &config));
  ASSIGN_OR_RETURN(config["vocab_size"], VocabSize(metadata, keys, tensors));
  RETURN_IF_ERROR(AddRope(metadata, keys, tensors, &config));
  RETURN_IF_ERROR(AddTokens(metadata, &config));
  config["tie_word_embeddings"] = !tensors.Has("lm_head.weight");
  config["attention_bias"] = tensors.Has("model.layers.0.self_attn.q_proj.bias");
  config["mlp_bias"] = tensors.Has("model.layers.0.mlp.up_proj.bias");
  if (experts > 0) RETURN_IF_ERROR(AddExperts(metadata, keys, *architecture, &config));
  if (*architecture == "gemma2") RETURN_IF_ERROR(AddGemma2(keys, &config));
  if (*architecture == "gemma3") RETURN_IF_ERROR(AddGemma3(keys, &config));
  if (*architecture == "granite") RETURN_IF_ERROR(AddGranite(keys, &config));
  if (*architecture == "phi3") RETURN_IF_ERROR(AddPhi3(keys, tensors, &config));
  return config;
}

}  // namespace bitrate
