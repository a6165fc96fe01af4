// Phi-3, and Phi-4 saved as such: llama with q|k|v and gate|up as one tensor each, perhaps a rope over part of a head
// (transformers' Phi3ForCausalLM).
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapConfig(const nlohmann::json& config) {
  RETURN_IF_ERROR(RefuseSwitches(config, {"sliding_window", "partial_rotary_factor"}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRotaryDim(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadSlidingLayers(
      config, [](int64_t, int64_t) { return true; }, 0, out));
  out.fused_qkv = true;
  return out;
}

LayerTensorNames LayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  names.qkv = fmt::format("model.layers.{}.self_attn.qkv_proj", layer);
  names.gate_up = fmt::format("model.layers.{}.mlp.gate_up_proj", layer);
  return names;
}

}  // namespace

const Architecture kPhi3Architecture = {"phi3", "Phi3ForCausalLM", MapConfig, LlamaModelNames, LayerNames};

}  // namespace bitrate
