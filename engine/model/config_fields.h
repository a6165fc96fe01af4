// The parts of a config.json that architectures share, each read with bounds. Mapping files (llama.cc) are made of
// these.
//
// Thread rule: pure functions. Errors: INVALID_ARGUMENT "key: got, wanted" for a malformed or out-of-range field,
// FAILED_PRECONDITION naming the key for a switch that this decoder does not apply.
#ifndef BITRATE_ENGINE_MODEL_CONFIG_FIELDS_H_
#define BITRATE_ENGINE_MODEL_CONFIG_FIELDS_H_

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "engine/base/status.h"
#include "engine/model/model_config.h"

namespace bitrate {

// vocab, hidden, layers, heads, head_dim, context, eps, tie_word_embeddings.
Status ReadShapes(const nlohmann::json& config, ModelConfig& out);

// "rope_parameters" (transformers 5) or "rope_theta" + "rope_scaling" (4); needs out.head_dim and out.max_positions.
Status ReadRope(const nlohmann::json& config, ModelConfig& out);

// "bos_token_id", "eos_token_id" (a number or a list) united with "generation_eos_token_id"; needs out.vocab_size.
Status ReadSpecialIds(const nlohmann::json& config, ModelConfig& out);

// hidden_act must be silu, and quantization_config absent: the repackers of those formats are not here.
Status RequireSilu(const nlohmann::json& config);
Status RefuseQuantizationConfig(const nlohmann::json& config);

// A switch that an architecture does not apply, and the value that means "off" besides absent, null and false.
struct UnappliedSwitch {
  std::string_view key;
  double neutral = 0;
};
Status RefuseSwitches(const nlohmann::json& config, std::initializer_list<UnappliedSwitch> switches);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_CONFIG_FIELDS_H_
