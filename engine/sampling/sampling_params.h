// What a client may ask of sampling and stopping, as validated plain data. Defaults are the API's defaults.
#ifndef BITRATE_ENGINE_SAMPLING_SAMPLING_PARAMS_H_
#define BITRATE_ENGINE_SAMPLING_SAMPLING_PARAMS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

struct SamplingParams {
  float temperature = 1.0f;                           // 0 = greedy
  float top_p = 1.0f;                                 // (0, 1]
  int top_k = 0;                                      // 0 = off
  float min_p = 0.0f;                                 // [0, 1]
  float repetition_penalty = 1.0f;                    // > 0; over prompt and output
  float presence_penalty = 0.0f;                      // [-2, 2]; over output
  float frequency_penalty = 0.0f;                     // [-2, 2]; over output
  std::vector<std::pair<int32_t, float>> logit_bias;  // unique ids
  uint64_t seed = 0;                                  // always set by the time it reaches the engine
};

struct StopParams {
  std::optional<int> max_tokens;  // unset = the remaining context; 0 = score the prompt, generate nothing
  int min_tokens = 0;             // EOS and stop ids are masked, stop strings ignored until then
  std::vector<std::string> stop;  // may straddle tokens
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_str = false;
};

struct LogprobParams {
  int output_top_n = -1;  // -1 = none; 0 = the chosen token's only
  int prompt_top_n = -1;
};

// INVALID_ARGUMENT "field: got, wanted" for the first bad field (paths as in the proto: "sampling.temperature").
Status ValidateSampling(const SamplingParams& sampling, const StopParams& stop, const LogprobParams& logprobs,
                        int64_t vocab_size);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_SAMPLING_SAMPLING_PARAMS_H_
