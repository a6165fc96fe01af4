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

StatusOr<ModelConfig> MapShared(const nlohmann::json& config) {
  RETURN_IF_ERROR(RefuseSwitches(config, {"sliding_window", "use_sliding_window"}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadQwenWindows(config, out));
  return out;
}

StatusOr<ModelConfig> MapQwen2(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config));
  out.attention_bias = true;
  return out;
}

StatusOr<ModelConfig> MapQwen3(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config));
  ASSIGN_OR_RETURN(const std::optional<bool> bias, FindBool(config, "attention_bias"));
  out.attention_bias = out.attention_output_bias = bias.value_or(false);
  out.qk_norm = QkNorm::kHead;
  return out;
}

LayerTensorNames Qwen3LayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  names.q_norm = fmt::format("model.layers.{}.self_attn.q_norm", layer);
  names.k_norm = fmt::format("model.layers.{}.self_attn.k_norm", layer);
  return names;
}

}  // namespace

const Architecture kQwen2Architecture = {"qwen2", "Qwen2ForCausalLM", MapQwen2, LlamaModelNames, LlamaLayerNames};
const Architecture kQwen3Architecture = {"qwen3", "Qwen3ForCausalLM", MapQwen3, LlamaModelNames, Qwen3LayerNames};

}  // namespace bitrate
