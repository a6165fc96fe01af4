// Llama, and everything saved as LlamaForCausalLM (SmolLM2 among it). Tensor names and switches as in transformers'
// LlamaConfig / LlamaForCausalLM: `attention_bias` covers q, k, v and o; GGUF metadata may say more exactly.
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
  return out;
}

}  // namespace

ModelTensorNames LlamaModelNames() { return {"model.embed_tokens", "model.norm", "lm_head"}; }

LayerTensorNames LlamaLayerNames(int64_t layer) {
  const std::string p = fmt::format("model.layers.{}.", layer);
  LayerTensorNames names;
  names.q = p + "self_attn.q_proj";
  names.k = p + "self_attn.k_proj";
  names.v = p + "self_attn.v_proj";
  names.o = p + "self_attn.o_proj";
  names.gate = p + "mlp.gate_proj";
  names.up = p + "mlp.up_proj";
  names.down = p + "mlp.down_proj";
  names.input_norm = p + "input_layernorm";
  names.mlp_norm = p + "post_attention_layernorm";
  return names;
}

const Architecture kLlamaArchitecture = {"llama", "LlamaForCausalLM", MapConfig, LlamaModelNames, LlamaLayerNames};

}  // namespace bitrate
