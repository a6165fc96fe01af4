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
// gemma2 and gemma3 (which becomes gemma3_text) have query_pre_attn_scalar and norm_weights_include_one, a key of ours:
// GGUF stores 1 + w; gemma2 its softcaps, gemma3 rope_parameters by layer type and sliding_window_pattern. granite has
// its four multipliers. phi3 has rope_type longrope where the file has tensors rope_factors_long and
// rope_factors_short. With experts: num_experts (num_local_experts), num_experts_per_tok, moe_intermediate_size,
// norm_topk_prob; a llama file has model_type "mixtral" then, qwen3moe "qwen3_moe". An architecture that is not mapped
// (gguf_names.h) gives {"model_type": name} only. Errors: INVALID_ARGUMENT naming the metadata key; FAILED_PRECONDITION
// for content we do not apply (per-layer head counts, value heads of another size, routers other than softmax, longrope
// of other architectures).
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

// Experts of a mapped architecture that has them, 1 to limits::kMaxExperts.
StatusOr<int64_t> ReadGgufExperts(const GgufMetadata& metadata, std::string_view architecture);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_CONFIG_H_
