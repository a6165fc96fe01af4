// Runs prompts through the engine core with a real decoder, alone or in company, on a seeded schedule of arrivals.
#ifndef BITRATE_TESTS_INTEGRATION_DETERMINISM_HARNESS_H_
#define BITRATE_TESTS_INTEGRATION_DETERMINISM_HARNESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/backend/backend.h"
#include "engine/model/decoder_model.h"
#include "engine/runtime/model_instance.h"

namespace bitrate::determinism {

// Everything that a client gets: tokens and log-probabilities, to the bit.
struct Answer {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprob> scores;  // chosen and top of each token, then those of the prompt, in order
  FinishReason finish = FinishReason::kNone;
};
// Empty when equal to the bit, otherwise where they part.
std::string Difference(const Answer& a, const Answer& b);

// What surrounds a sequence and must not matter.
struct Regime {
  std::string name;
  int max_sequences = 16;
  int max_step_tokens = 64;
  double step_budget_seconds = 0;
  int num_contexts = 16;  // KV pool, in full contexts: few force preemption
  bool prefix_cache = true;
  int num_workers = 2;
  uint64_t seed = 1;  // arrivals; 0 = each prompt only when the one before has ended
};

struct RegimeStats {
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t cached_tokens = 0;
  int64_t recomputed_tokens = 0;
};

using ModelPtr = std::shared_ptr<const DecoderModel>;

// Fails the running test and gives nullptr where the model cannot be loaded. "_kv8" behind the precision: int8 KV.
ModelPtr LoadModel(const Checkpoint& checkpoint, const Backend& backend, const std::string& precision,
                   int64_t max_context);

// `count` requests with prompts cut from `text` (token ids): half begin alike, so that prefixes meet; greedy and
// sampled, with and without log-probabilities. Prompt and output fit max_context.
std::vector<SequenceSpec> MakeRequests(const std::vector<int32_t>& text, int count, int max_prompt, int max_tokens,
                                       uint64_t seed);

// `count` greedy tokens after `prompt`, each from a forward pass over everything before it, with no cache in between.
std::vector<int32_t> GreedyByRecomputation(const ModelPtr& model, const std::vector<int32_t>& prompt, int count);

std::vector<Answer> RunRequests(const ModelPtr& model, const std::vector<SequenceSpec>& requests, const Regime& regime,
                                RegimeStats* stats);

}  // namespace bitrate::determinism

#endif  // BITRATE_TESTS_INTEGRATION_DETERMINISM_HARNESS_H_
