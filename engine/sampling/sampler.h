// Chooses the next token of one sequence from its logits. A pure function of (logits, params, history, seed, choice,
// position): no state, no batch-mates. Argmax ties take the lowest id. Order: penalties and bias, then temperature,
// then top-k, top-p, min-p. Random numbers are keyed by (seed, choice index, position) with a counter-based generator.
// Log-probabilities are of the raw model distribution (before penalties and temperature), log-sum-exp merged by fixed
// chunks of the vocabulary so that every path gives the same bits.
//
// Thread rule: thread-safe; scratch is the caller's.
#ifndef BITRATE_ENGINE_SAMPLING_SAMPLER_H_
#define BITRATE_ENGINE_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/status.h"
#include "engine/sampling/row_stats.h"
#include "engine/sampling/sampling_params.h"

namespace bitrate {

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;
  int rank = 0;  // 1 = most likely
};

struct SampleRequest {
  std::span<const float> logits;  // [V]
  const SamplingParams* params = nullptr;
  int choice_index = 0;
  int64_t position = 0;             // of the token being chosen
  std::span<const int32_t> prompt;  // for the repetition penalty
  std::span<const int32_t> output;
  std::span<const int32_t> masked_ids;  // never chosen (EOS before min_tokens)
  int top_logprobs = -1;                // as LogprobParams::output_top_n
};

struct SampleResult {
  int32_t token_id = 0;
  float logprob = 0;  // valid when top_logprobs >= 0
  int rank = 0;
  std::vector<TokenLogprob> top;  // descending, at most top_logprobs; ties by id
};

// Reused between calls; one a thread. Grows to a few arrays of the vocabulary's size when a request needs them.
struct SamplerScratch {
  std::vector<float> maxima;         // of each vocabulary chunk
  std::vector<float> logits;         // adjusted copy
  std::vector<float> weights;        // unnormalised probabilities
  std::vector<ScoredId> candidates;  // what top-k, top-p and min-p leave
  std::vector<int32_t> counts;       // [V] all zero between calls
};

// INTERNAL when a logit is NaN or no token is possible (the caller fails that sequence only). Tokens whose logit is
// +inf share all probability.
StatusOr<SampleResult> Sample(const SampleRequest& request, SamplerScratch& scratch);

// Log-probability and rank of `token_id`, plus the top n, of one row. The same bits as Sample reports.
// INVALID_ARGUMENT for an id outside the row, INTERNAL when a logit is NaN.
StatusOr<SampleResult> ScoreToken(std::span<const float> logits, int32_t token_id, int top_n);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_SAMPLING_SAMPLER_H_
