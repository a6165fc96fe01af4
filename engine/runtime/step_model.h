// What the engine needs of a model with its KV cache, so that scheduling, stopping and accounting are tested without
// one. Thread rule: one engine thread. Forward and Logits use the workers of `parallel` and may throw std::bad_alloc
// (caught by the engine: the step fails).
#ifndef BITRATE_ENGINE_RUNTIME_STEP_MODEL_H_
#define BITRATE_ENGINE_RUNTIME_STEP_MODEL_H_

#include <cstdint>
#include <span>

#include "engine/base/parallel.h"
#include "engine/base/status.h"
#include "engine/batch/step_input.h"

namespace bitrate {

struct StepModelInfo {
  int64_t vocab_size = 0;
  int64_t max_context = 0;  // tokens of one sequence, prompt and output
  int block_tokens = 16;
  int num_blocks = 0;
  uint64_t kv_bytes = 0;
  std::span<const int32_t> eos_ids;
  // Cost of attending to one cached token, as a fraction of the cost of a token's linear layers.
  double attention_weight = 0;
  // A sequence of more tokens than this is computed with other rotary factors throughout (longrope): none of the KV
  // from before is of use to it. 0 = there is no such point. StepInput::lengths tells the model.
  int64_t rope_switch = 0;
};

class StepModel {
 public:
  virtual ~StepModel() = default;
  virtual StepModelInfo info() const = 0;
  // Computes and stores KV of all rows. After an error the KV of the step's rows is undefined.
  virtual Status Forward(Parallel& parallel, const StepInput& input) = 0;
  // logits [rows.size(), V] f32 of rows of the last Forward.
  virtual Status Logits(Parallel& parallel, std::span<const int32_t> rows, float* logits) = 0;
  // True once no later step can succeed (a lost device).
  virtual bool broken() const { return false; }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_STEP_MODEL_H_
