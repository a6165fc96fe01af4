// Mistral: llama with a sliding window over every layer (transformers' MistralForCausalLM). No biases. Mixtral: the
// same with experts for an MLP (MixtralForCausalLM).
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapShared(const nlohmann::json& config, std::initializer_list<std::string_view> applied) {
  RETURN_IF_ERROR(RefuseSwitches(config, applied));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadSlidingLayers(
      config, [](int64_t, int64_t) { return true; }, 0, out));
  return out;
}

StatusOr<ModelConfig> MapMistral(const nlohmann::json& config) { return MapShared(config, {"sliding_window"}); }

StatusOr<ModelConfig> MapMixtral(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(ModelConfig out, MapShared(config, {"sliding_window", "num_local_experts"}));
  RETURN_IF_ERROR(ReadExperts(config, {"num_local_experts"}, "intermediate_size", out));
  return out;
}

LayerTensorNames MixtralLayerNames(int64_t layer) {
  LayerTensorNames names = LlamaLayerNames(layer);
  const std::string p = fmt::format("model.layers.{}.block_sparse_moe.", layer);
  names.router = p + "gate";
  names.expert = p + "experts.";
  names.expert_gate = "w1";
  names.expert_up = "w3";
  names.expert_down = "w2";
  return names;
}

}  // namespace

const Architecture kMixtralArchitecture = {"mixtral", "MixtralForCausalLM", MapMixtral, LlamaModelNames,
                                           MixtralLayerNames};
const Architecture kMistralArchitecture = {"mistral", "MistralForCausalLM", MapMistral, LlamaModelNames,
                                           LlamaLayerNames};

}  // namespace bitrate
