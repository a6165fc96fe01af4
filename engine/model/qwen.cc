// Qwen2 (and 2.5): llama with biases on q, k and v. Qwen3: no such biases but a norm of every head of q and k before
// rope. As transformers' Qwen2ForCausalLM and Qwen3ForCausalLM: with use_sliding_window, layers from max_window_layers
// on slide.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

Status ReadQwenWindows(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(const std::optional<bool> used, FindBool(config, "use_sliding_window"));
  if (!used.value_or(false)) return OkStatus();  // sliding_window may be set all the same
  ASSIGN_OR_RETURN(const std::optional<int64_t> from, FindInt(config, "max_window_layers"));
  return ReadSlidingLayers(
      config, [](int64_t layer, int64_t first) { return layer >= first; }, from.value_or(28), out);
}

StatusOr<ModelConfig> MapShared(const nlohmann::json& config, std::initializer_list<std::string_view> applied) {
  RETURN_IF_ERROR(RefuseSwitches(config, applied));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadQwenWindows(config, out));
  return out;
}

StatusOr<ModelConfig> MapQwen2(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config, {"sliding_window", "use_sliding_window"}));
  out.attention_bias = true;
  return out;
}

StatusOr<ModelConfig> MapQwen3(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config, {"sliding_window", "use_sliding_window"}));
  RETURN_IF_ERROR(ReadBiases(config, out));
  out.qk_norm = QkNorm::kHead;
  return out;
}

// Layers of mlp_only_layers, and all but every decoder_sparse_step-th, have a plain MLP of intermediate_size.
Status ReadDenseLayers(const nlohmann::json& config, ModelConfig& out) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> step, FindInt(config, "decoder_sparse_step"));
  if (step && *step < 1) return InvalidArgument("decoder_sparse_step: got {}, wanted at least 1", *step);
  for (int64_t i = 0; i < out.num_layers; ++i) {
    out.expert_layers[static_cast<size_t>(i)] = (i + 1) % step.value_or(1) == 0;
  }
  ASSIGN_OR_RETURN(const nlohmann::json* dense, FindArray(config, "mlp_only_layers"));
  if (dense == nullptr) return OkStatus();
  for (const nlohmann::json& item : *dense) {
    ASSIGN_OR_RETURN(const int64_t layer, JsonToInt(item, "mlp_only_layers"));
    if (layer < 0 || layer >= out.num_layers) {
      return InvalidArgument("mlp_only_layers: got {}, wanted a layer below {}", layer, out.num_layers);
    }
    out.expert_layers[static_cast<size_t>(layer)] = false;
  }
  return OkStatus();
}

StatusOr<ModelConfig> MapQwen3Moe(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out,
                   MapShared(config, {"sliding_window", "use_sliding_window", "num_experts", "num_local_experts"}));
  RETURN_IF_ERROR(ReadBiases(config, out));
  out.qk_norm = QkNorm::kHead;
  RETURN_IF_ERROR(ReadExperts(config, {"num_experts", "num_local_experts"}, "moe_intermediate_size", out));
  ASSIGN_OR_RETURN(const std::optional<bool> renormalize, FindBool(config, "norm_topk_prob"));
  out.renormalize_experts = renormalize.value_or(false);
  RETURN_IF_ERROR(ReadDenseLayers(config, out));
  return out;
}

LayerTensorNames Qwen3LayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  names.q_norm = fmt::format("model.layers.{}.self_attn.q_norm", layer);
  names.k_norm = fmt::format("model.layers.{}.self_attn.k_norm", layer);
  return names;
}

LayerTensorNames Qwen3MoeLayerNames(int64_t layer) {
  LayerTensorNames names = Qwen3LayerNames(layer);
  const std::string p = fmt::format("model.layers.{}.mlp.", layer);
  names.router = p + "gate";
  names.expert = p + "experts.";
  names.expert_gate = "gate_proj";
  names.expert_up = "up_proj";
  names.expert_down = "down_proj";
  return names;
}

}  // namespace

const Architecture kQwen3MoeArchitecture = {"qwen3_moe", "Qwen3MoeForCausalLM", MapQwen3Moe, LlamaModelNames,
                                            Qwen3MoeLayerNames};
const Architecture kQwen2Architecture = {"qwen2", "Qwen2ForCausalLM", MapQwen2, LlamaModelNames, LlamaLayerNames};
const Architecture kQwen3Architecture = {"qwen3", "Qwen3ForCausalLM", MapQwen3, LlamaModelNames, Qwen3LayerNames};

}  // namespace bitrate
