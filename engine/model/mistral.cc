// Mistral: llama with a sliding window over every layer (transformers' MistralForCausalLM). No biases.
#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapConfig(const nlohmann::json& config) {
  RETURN_IF_ERROR(RefuseSwitches(config, {"sliding_window"}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  RETURN_IF_ERROR(ReadSlidingLayers(
      config, [](int64_t, int64_t) { return true; }, 0, out));
  return out;
}

}  // namespace

const Architecture kMistralArchitecture = {"mistral", "MistralForCausalLM", MapConfig, LlamaModelNames,
                                           LlamaLayerNames};

}  // namespace bitrate
