// What one configurable decoder needs to know of a checkpoint: shapes and switches. Made from a Hugging Face style
// config (checkpoint.config()) by one small mapping file per architecture; an unknown architecture or a switch that is
// not applied is refused by name, never ignored. A value type.
#ifndef BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_
#define BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/base/status.h"

namespace bitrate {

struct RopeConfig {
  enum class Kind : uint8_t { kDefault, kLinear, kLlama3, kYarn, kFactors, kLongRope };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  // llama3
  double low_freq_factor = 1.0, high_freq_factor = 4.0;
  // llama3, yarn and longrope
  int64_t original_max_positions = 0;
  // yarn and longrope
  double attention_factor = 0;  // 0: computed from factor (and mscale fields)
  // yarn
  double beta_fast = 32.0, beta_slow = 1.0;
  double mscale = 0, mscale_all_dim = 0;
  bool truncate = true;
  // kFactors: per-frequency divisors (GGUF rope_freqs). kLongRope: those of a sequence of at most
  // original_max_positions tokens, and those that a longer one has at all its positions.
  std::vector<float> factors, long_factors;
};

// Where q and k are normed between projection and rope: not at all, each head by one weight [head_dim], or each
// projection as a whole by a weight of its width.
enum class QkNorm : uint8_t { kNone, kHead, kProjection };

struct ModelConfig {
  std::string architecture;  // "llama"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 0;  // context length
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = false;
  bool attention_bias = false;         // q, k, v
  bool attention_output_bias = false;  // o
  bool mlp_bias = false;
  bool fused_qkv = false;  // one tensor q|k|v, one gate|up
  QkNorm qk_norm = QkNorm::kNone;
  // Norms of what goes into attention and MLP, and of what comes out of them before it joins the residual stream.
  bool pre_norms = true, post_norms = false;
  bool norm_plus_one = false;  // norms multiply by 1 + w
  Activation activation = Activation::kSilu;
  double attention_scale = 0;                        // 0: head_dim^-0.5
  double attention_softcap = 0, logits_softcap = 0;  // 0 = none
  double embedding_scale = 1, residual_scale = 1;    // times the embedding; times what joins the residual stream
  double logits_scale = 1;
  int64_t sliding_window = 0;        // of sliding layers; 0 = none
  std::vector<bool> sliding_layers;  // by layer; empty: all, if there is a window
  // Mixture of experts, in expert_layers: each token's MLP is the weighted sum of experts_per_token of num_experts.
  int64_t num_experts = 0, experts_per_token = 0, expert_size = 0;  // expert_size: an expert's intermediate_size
  bool renormalize_experts = true;                                  // the chosen experts' weights sum to 1
  std::vector<bool> expert_layers;                                  // by layer; empty: none
  int64_t rotary_dim = 0;                                           // of head_dim; 0 = all of it
  RopeConfig rope;
  RopeConfig local_rope;  // of sliding layers, where has_local_rope
  bool has_local_rope = false;
  std::vector<int32_t> eos_ids;  // config.json, generation_config.json and GGUF eos/eot/eom, united
  int32_t bos_id = -1;

  bool HasExperts(int64_t layer) const { return num_experts > 0 && expert_layers[static_cast<size_t>(layer)]; }
  bool IsSliding(int64_t layer) const {
    return sliding_window > 0 && (sliding_layers.empty() || sliding_layers[static_cast<size_t>(layer)]);
  }
};

// Both config.json styles ("rope_parameters"/"dtype" of transformers 5, "rope_theta"/"rope_scaling"/"torch_dtype" of
// 4).
StatusOr<ModelConfig> ParseModelConfig(const nlohmann::json& config);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_
