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
  RETURN_IF_ERROR(RefuseQuantizationConfig(config));
  RETURN_IF_ERROR(RequireSilu(config));
  RETURN_IF_ERROR(RefuseSwitches(config, {{"pretraining_tp", 1},
                                          {"attn_logit_softcapping", 0},
                                          {"final_logit_softcapping", 0},
                                          {"sliding_window", 0},
                                          {"partial_rotary_factor", 1},
                                          {"rope_interleaved", 0},
                                          {"use_qk_norm", 0},
                                          {"qk_layernorm", 0},
                                          {"num_local_experts", 0},
                                          {"num_experts", 0},
                                          {"embedding_multiplier", 1},
                                          {"residual_multiplier", 1},
                                          {"attention_multiplier", 1},
                                          {"logits_scaling", 1},
                                          {"logit_scale", 1},
                                          {"query_pre_attn_scalar", 0},
                                          {"no_rope_layers", 0},
                                          {"use_bias", 0}}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadShapes(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadSpecialIds(config, out));
  ASSIGN_OR_RETURN(const std::optional<bool> attention_bias, FindBool(config, "attention_bias"));
  ASSIGN_OR_RETURN(const std::optional<bool> output_bias, FindBool(config, "attention_output_bias"));
  ASSIGN_OR_RETURN(const std::optional<bool> mlp_bias, FindBool(config, "mlp_bias"));
  out.attention_bias = attention_bias.value_or(false);
  out.attention_output_bias = output_bias.value_or(out.attention_bias);
  out.mlp_bias = mlp_bias.value_or(false);
  return out;
}

ModelTensorNames ModelNames() { return {"model.embed_tokens", "model.norm", "lm_head"}; }

LayerTensorNames LayerNames(int64_t layer) {
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
  names.post_attention_norm = p + "post_attention_layernorm";
  return names;
}

}  // namespace

const Architecture kLlamaArchitecture = {"llama", "LlamaForCausalLM", MapConfig, ModelNames, LayerNames};

}  // namespace bitrate
