// What one configurable decoder needs to know of a checkpoint: shapes and switches. Made from a Hugging Face style
// config (checkpoint.config()) by one small mapping file per architecture; an unknown architecture or a switch that is
// not applied is refused by name, never ignored. A value type.
#ifndef BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_
#define BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

struct RopeConfig {
  enum class Kind : uint8_t { kDefault, kLinear, kLlama3, kYarn, kFactors };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  // llama3
  double low_freq_factor = 1.0, high_freq_factor = 4.0;
  // llama3 and yarn
  int64_t original_max_positions = 0;
  // yarn
  double beta_fast = 32.0, beta_slow = 1.0;
  double attention_factor = 0;  // 0: computed from factor (and mscale fields)
  double mscale = 0, mscale_all_dim = 0;
  bool truncate = true;
  // kFactors: per-frequency divisors (GGUF rope_freqs)
  std::vector<float> factors;
};

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
  int64_t sliding_window = 0;  // 0 = none
  RopeConfig rope;
  std::vector<int32_t> eos_ids;  // config.json, generation_config.json and GGUF eos/eot/eom, united
  int32_t bos_id = -1;
};

// Both config.json styles ("rope_parameters"/"dtype" of transformers 5, "rope_theta"/"rope_scaling"/"torch_dtype" of
// 4).
StatusOr<ModelConfig> ParseModelConfig(const nlohmann::json& config);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_MODEL_CONFIG_H_
