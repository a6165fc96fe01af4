// A Hugging Face style config from GGUF metadata, so that one mapping in engine/model serves both containers.
//
// Keys made: model_type, architectures, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
// num_key_value_heads, head_dim, rms_norm_eps, max_position_embeddings, vocab_size, hidden_act, tie_word_embeddings
// (there is no output.weight), attention_bias and mlp_bias (there are such tensors), sliding_window where the file has
// one, partial_rotary_factor where rope covers less than a head, bos_token_id, eos_token_id, generation_eos_token_id
// (eos, eot and eom, without repeats), and rope_parameters {rope_type default|linear|yarn, rope_theta, factor,
// original_max_position_embeddings, beta_fast, beta_slow, attention_factor}.
// rope_factors, an array of head_dim / 2 divisors of the rope frequencies, is there where the file has a tensor
// rope_freqs.weight: that is how llama 3 scaling is stored in GGUF (rope_type is then "default").
//
// gemma3 becomes gemma3_text: rope_parameters by layer type, query_pre_attn_scalar, sliding_window_pattern, and
// norm_weights_include_one, a key of ours: GGUF stores 1 + w.
// An architecture other than llama, qwen2, qwen3 and gemma3 gives {"model_type": name} only. A llama file with experts
// has model_type "mixtral".
// Errors: INVALID_ARGUMENT naming the metadata key; FAILED_PRECONDITION for content we do not apply (per-layer head
// counts, value heads of another size, longrope).
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_CONFIG_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_CONFIG_H_

#include <nlohmann/json.hpp>

#include "engine/artifact/gguf_metadata.h"
#include "engine/artifact/tensor_table.h"

namespace bitrate {

StatusOr<nlohmann::json> MakeGgufConfig(const GgufMetadata& metadata, const TensorTable& tensors);

// Attention heads of a mapped architecture, each 1 to limits::kMaxHeads.
struct GgufHeads {
  int64_t query = 0;
  int64_t key_value = 0;
};
StatusOr<GgufHeads> ReadGgufHeads(const GgufMetadata& metadata, std::string_view architecture);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_CONFIG_H_
