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
  std::string qkv, gate_up;          // instead, where ModelConfig::fused_qkv
  std::string input_norm, mlp_norm;  // pre-norms
  std::string attention_post_norm, mlp_post_norm;
  std::string q_norm, k_norm;
  std::string router;  // [experts, hidden]
  std::string expert;  // prefix: expert + "3." + expert_gate
  std::string expert_gate, expert_up, expert_down;
};
struct ModelTensorNames {
  std::string embedding, final_norm, head;
};

// model.layers.N.self_attn.q_proj and so on, as nearly all name them; input_norm and mlp_norm as llama names them.
LayerTensorNames LlamaLayerNames(int64_t layer);
ModelTensorNames LlamaModelNames();

struct Architecture {
  std::string_view model_type;  // config.json "model_type", and ModelConfig::architecture
  std::string_view class_name;  // config.json "architectures": the causal language model only
  StatusOr<ModelConfig> (*map_config)(const nlohmann::json& config);
  ModelTensorNames (*model_names)();
  LayerTensorNames (*layer_names)(int64_t layer);
};

// nullptr for an unknown one.
const Architecture* FindArchitecture(std::string_view model_type);

extern const Architecture kLlamaArchitecture;       // llama.cc
extern const Architecture kMistralArchitecture;     // mistral.cc
extern const Architecture kMixtralArchitecture;     // mistral.cc
extern const Architecture kQwen3MoeArchitecture;    // qwen.cc
extern const Architecture kQwen2Architecture;       // qwen.cc
extern const Architecture kQwen3Architecture;       // qwen.cc
extern const Architecture kGraniteArchitecture;     // granite.cc
extern const Architecture kOlmo2Architecture;       // olmo2.cc
extern const Architecture kGemma2Architecture;      // gemma.cc
extern const Architecture kGemma3TextArchitecture;  // gemma.cc
extern const Architecture kPhi3Architecture;        // phi3.cc

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_ARCHITECTURE_H_
