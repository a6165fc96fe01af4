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
// The same for sliding and full layers apart: rope_parameters by layer type (transformers 5), or rope_local_base_freq
// beside the full layers' rope_theta + rope_scaling (4). Sets out.local_rope.
Status ReadRopeByLayerType(const nlohmann::json& config, ModelConfig& out);
// "partial_rotary_factor", of the config or of its rope_parameters; needs out.head_dim. Sets out.rotary_dim.
Status ReadRotaryDim(const nlohmann::json& config, ModelConfig& out);

// "sliding_window" and which layers slide: "layer_types", or where that is absent `slides` of the layer's index.
Status ReadSlidingLayers(const nlohmann::json& config, bool (*slides)(int64_t layer, int64_t pattern), int64_t pattern,
                         ModelConfig& out);

// "bos_token_id", "eos_token_id" (a number or a list) united with "generation_eos_token_id"; needs out.vocab_size.
Status ReadSpecialIds(const nlohmann::json& config, ModelConfig& out);

// "hidden_activation" or "hidden_act": silu or GELU in its tanh form.
Status ReadActivation(const nlohmann::json& config, ModelConfig& out);

// Refuses every switch that some decoder of the field has and this architecture does not apply: all that
// config_fields.cc lists but `applied`. Off is absent, null, false or the switch's neutral value.
Status RefuseSwitches(const nlohmann::json& config, std::initializer_list<std::string_view> applied);

// Experts in every layer: their number under the first of `count_keys` that is there, num_experts_per_tok, and each
// one's intermediate size under `size_key`.
Status ReadExperts(const nlohmann::json& config, std::initializer_list<std::string_view> count_keys,
                   std::string_view size_key, ModelConfig& out);

// "attention_bias" (q, k, v, o; "attention_output_bias", a key of GGUF's mapping, for o apart) and "mlp_bias".
Status ReadBiases(const nlohmann::json& config, ModelConfig& out);

// A positive, finite number of moderate size, or `fallback` where it is absent or null.
StatusOr<double> ReadScale(const nlohmann::json& config, std::string_view key, double fallback);

// Shapes, special ids and activation: what every mapping begins with.
Status ReadCommon(const nlohmann::json& config, ModelConfig& out);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_CONFIG_FIELDS_H_
