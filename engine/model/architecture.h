// What an architecture is to this engine: a mapping from its config.json to ModelConfig, and the names of its tensors.
// One .cc file and one row in the table of architecture.cc each; the decoder itself is shared.
//
// Thread rule: immutable tables, pure functions.
#ifndef BITRATE_ENGINE_MODEL_ARCHITECTURE_H_
#define BITRATE_ENGINE_MODEL_ARCHITECTURE_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/model/model_config.h"

namespace bitrate {

// Names without ".weight" / ".bias".
struct LayerTensorNames {
  std::string q, k, v, o, gate, up, down;
  std::string input_norm, post_attention_norm;
};

struct ModelTensorNames {
  std::string embedding, final_norm, head;
};

struct Architecture {
  std::string_view model_type;  // config.json "model_type", and ModelConfig::architecture
  std::string_view class_name;  // config.json "architectures": the causal language model only
  StatusOr<ModelConfig> (*map_config)(const nlohmann::json& config);
  ModelTensorNames (*model_names)();
  LayerTensorNames (*layer_names)(int64_t layer);
};

// nullptr for an unknown one.
const Architecture* FindArchitecture(std::string_view model_type);

// llama.cc
extern const Architecture kLlamaArchitecture;

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_ARCHITECTURE_H_
