// Gemma 2 and the text model of Gemma 3 (transformers' Gemma2ForCausalLM and Gemma3ForCausalLM): norms on both sides of
// attention and MLP that multiply by 1 + w, embeddings times sqrt(hidden), attention scaled by query_pre_attn_scalar,
// layers of which some slide. Gemma 2 caps scores and logits; Gemma 3 norms the heads of q and k and turns sliding
// layers by a rope of their own.
#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapShared(const nlohmann::json& config, std::initializer_list<std::string_view> applied) {
  RETURN_IF_ERROR(RefuseSwitches(config, applied));
  ModelConfig out;
  out.activation = Activation::kGeluTanh;
  RETURN_IF_ERROR(ReadCommon(config, out));
  if (FindField(config, "tie_word_embeddings") == nullptr) out.tie_word_embeddings = true;  // these configs' default
  out.post_norms = true;
  ASSIGN_OR_RETURN(const std::optional<bool> include_one, FindBool(config, "norm_weights_include_one"));
  out.norm_plus_one = !include_one.value_or(false);  // GGUF files hold 1 + w
  // In float32, as the model is when it runs in float32.
  out.embedding_scale = std::sqrt(static_cast<float>(out.hidden_size));
  ASSIGN_OR_RETURN(const double scalar, ReadScale(config, "query_pre_attn_scalar", 256.0));
  out.attention_scale = 1.0 / std::sqrt(scalar);
  RETURN_IF_ERROR(ReadBiases(config, out));
  return out;
}

StatusOr<ModelConfig> MapGemma2(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config, {"attn_logit_softcapping", "final_logit_softcapping",
                                                       "sliding_window", "query_pre_attn_scalar"}));
  RETURN_IF_ERROR(ReadRope(config, out));
  ASSIGN_OR_RETURN(out.attention_softcap, ReadScale(config, "attn_logit_softcapping", 0.0));
  ASSIGN_OR_RETURN(out.logits_softcap, ReadScale(config, "final_logit_softcapping", 0.0));
  RETURN_IF_ERROR(ReadSlidingLayers(
      config, [](int64_t layer, int64_t) { return layer % 2 == 0; }, 0, out));
  return out;
}

StatusOr<ModelConfig> MapGemma3(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out,
                   MapShared(config, {"attn_logit_softcapping", "final_logit_softcapping", "sliding_window",
                                      "query_pre_attn_scalar", "rope_local_base_freq"}));
  RETURN_IF_ERROR(ReadRopeByLayerType(config, out));
  ASSIGN_OR_RETURN(out.attention_softcap, ReadScale(config, "attn_logit_softcapping", 0.0));
  ASSIGN_OR_RETURN(out.logits_softcap, ReadScale(config, "final_logit_softcapping", 0.0));
  int64_t pattern = 6;  // every sixth layer sees everything
  for (const char* key : {"_sliding_window_pattern", "sliding_window_pattern"}) {
    if (FindField(config, key) == nullptr) continue;
    ASSIGN_OR_RETURN(pattern, GetIntInRange(config, key, 1, out.num_layers > 64 ? out.num_layers : 64));
  }
  RETURN_IF_ERROR(ReadSlidingLayers(
      config, [](int64_t layer, int64_t every) { return (layer + 1) % every != 0; }, pattern, out));
  out.qk_norm = QkNorm::kHead;
  return out;
}

LayerTensorNames LayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  const std::string p = fmt::format("model.layers.{}.", layer);
  names.attention_post_norm = p + "post_attention_layernorm";
  names.mlp_norm = p + "pre_feedforward_layernorm";
  names.mlp_post_norm = p + "post_feedforward_layernorm";
  names.q_norm = p + "self_attn.q_norm";
  names.k_norm = p + "self_attn.k_norm";
  return names;
}

}  // namespace

const Architecture kGemma2Architecture = {"gemma2", "Gemma2ForCausalLM", MapGemma2, LlamaModelNames, LayerNames};
const Architecture kGemma3TextArchitecture = {"gemma3_text", "Gemma3ForCausalLM", MapGemma3, LlamaModelNames,
                                              LayerNames};

}  // namespace bitrate
