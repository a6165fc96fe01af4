// Rotary tables of a model: cos and sin for every position, the attention factor of yarn and longrope folded in.
//
// The arithmetic is that of transformers' rope initialisers: inverse frequencies in float32, the product with the
// position in float32, then cos and sin (here through f64, so correctly rounded) times the attention factor in float32.
// Sources: transformers 5 modeling_rope_utils (default, linear, llama3, yarn, longrope; YaRN is arXiv 2309.00071,
// LongRoPE 2402.13753); GGUF rope_freqs are divisors of the frequencies.
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

// `head_dim` is even; `rope` comes from ParseModelConfig. `long_sequence`: of longrope the long factors.
RopeFrequencies ComputeRopeFrequencies(const RopeConfig& rope, int64_t head_dim, bool long_sequence = false);

class RopeTables {
 public:
  RopeTables() = default;
  RopeTables(const RopeConfig& rope, int64_t head_dim, int64_t num_positions);
  // Rows of the tables: one a position, and with longrope that is used beyond its original context one more for each
  // position of a short sequence.
  static int64_t NumRows(const RopeConfig& rope, int64_t num_positions);
  RopeTable view() const;  // valid as long as this object
  uint64_t bytes() const { return cos_.bytes() + sin_.bytes(); }
  // Sequences of more tokens take row `position + long_row()` instead of `position`. 0: all sequences take the same.
  int64_t long_row() const { return long_row_; }

 private:
  void Fill(const RopeFrequencies& frequencies, int64_t first_row, int64_t num_positions);

  AlignedBuffer<float> cos_, sin_;  // [NumRows, D/2]
  int rotary_dim_ = 0;
  int64_t long_row_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_ROPE_TABLES_H_
