// OLMo 2: no norms before attention and MLP but after them, and q and k normed as whole projections before the split
// into heads (transformers' Olmo2ForCausalLM).
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapConfig(const nlohmann::json& config) {
  RETURN_IF_ERROR(RefuseSwitches(config, {}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadBiases(config, out));
  out.qk_norm = QkNorm::kProjection;
  out.pre_norms = false;
  out.post_norms = true;
  return out;
}

LayerTensorNames LayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  const std::string p = fmt::format("model.layers.{}.", layer);
  names.attention_post_norm = p + "post_attention_layernorm";
  names.mlp_post_norm = p + "post_feedforward_layernorm";
  names.q_norm = p + "self_attn.q_norm";
  names.k_norm = p + "self_attn.k_norm";
  return names;
}

}  // namespace

const Architecture kOlmo2Architecture = {"olmo2", "Olmo2ForCausalLM", MapConfig, LlamaModelNames, LayerNames};

}  // namespace bitrate
