// Rotary tables of a model: cos and sin for every position, the attention factor of yarn folded in.
//
// The arithmetic is that of transformers' rope initialisers: inverse frequencies in float32, the product with the
// position in float32, then cos and sin (here through f64, so correctly rounded) times the attention factor in float32.
// Sources: transformers 5 modeling_rope_utils (default, linear, llama3, yarn; YaRN is arXiv 2309.00071); GGUF
// rope_freqs are divisors of the frequencies.
#ifndef BITRATE_ENGINE_MODEL_ROPE_TABLES_H_
#define BITRATE_ENGINE_MODEL_ROPE_TABLES_H_

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/base/aligned_buffer.h"
#include "engine/model/model_config.h"

namespace bitrate {

struct RopeFrequencies {
  std::vector<float> inv_freq;  // [D/2] radians a position
  float attention_factor = 1;   // multiplies cos and sin
};

// `head_dim` is even; `rope` comes from ParseModelConfig.
RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t head_dim);

class RopeTables {
 public:
  RopeTables() = default;
  RopeTables(const RopeConfig& rope, int64_t head_dim, int64_t num_positions);
  RopeTable view() const;  // valid as long as this object
  uint64_t bytes() const { return cos_.bytes() + sin_.bytes(); }

 private:
  AlignedBuffer<float> cos_, sin_;  // [num_positions, D/2]
  int rotary_dim_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_ROPE_TABLES_H_
