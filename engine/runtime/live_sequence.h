// One sequence with everything the engine knows about it: what was asked, where it stands, what is to be told.
// Thread rule: engine thread.
#ifndef BITRATE_ENGINE_RUNTIME_LIVE_SEQUENCE_H_
#define BITRATE_ENGINE_RUNTIME_LIVE_SEQUENCE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/runtime/model_instance.h"
#include "engine/runtime/sequence.h"
#include "engine/runtime/stop_checker.h"

namespace bitrate {

struct LiveSequence final : Sequence {
  LiveSequence(SequenceInit init, SequenceSpec s, StopChecker checker)
      : Sequence(std::move(init)), spec(std::move(s)), stops(std::move(checker)) {}

  SequenceSpec spec;  // its prompt moved into the Sequence
  StopChecker stops;
  bool generates = true;   // false: only the prompt is scored (max_tokens 0)
  int64_t max_output = 0;  // tokens it may generate
  SequenceUsage usage;

  // Prompt log-probabilities, kept until the prompt is done. Entry t scores prompt[t].
  std::vector<TokenLogprob> prompt_logprobs;
  std::vector<std::vector<TokenLogprob>> prompt_top;
  int64_t num_scored = 0;  // leading entries that are there

  TimePoint first_scheduled{};
  TimePoint first_token{};
  bool was_scheduled = false;
  bool has_token = false;
  bool announce = false;  // the next event carries first_scheduled

  bool wants_prompt_logprobs() const { return spec.logprobs.prompt_top_n >= 0; }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_LIVE_SEQUENCE_H_
