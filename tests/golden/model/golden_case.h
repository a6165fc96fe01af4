// A case folder of tests/golden: case.json, the model and its expected logits.
#ifndef BITRATE_TESTS_GOLDEN_MODEL_GOLDEN_CASE_H_
#define BITRATE_TESTS_GOLDEN_MODEL_GOLDEN_CASE_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"

namespace bitrate::golden {

struct GoldenCase {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> greedy_ids;
  std::vector<float> logits;          // [T, V]
  std::vector<float> logits_first12;  // [12, V] of the first twelve tokens alone, where the case has them
  double logit_std = 0;
};

// `name` under tests/golden: "arch/llama_tied". "gguf_arch/NAME" is case arch/NAME with the model from
// gguf_arch/NAME.gguf. Fails the running test where a file is missing.
GoldenCase LoadCase(const std::string& name);

// Largest absolute difference, infinity where sizes differ or a value is no number.
double MaxAbsDiff(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace bitrate::golden

#endif  // BITRATE_TESTS_GOLDEN_MODEL_GOLDEN_CASE_H_
