// Says after each generated token whether its sequence ends, and which tokens may not be chosen yet.
//
// Order: end-of-sequence token, stop id, stop string, length. Before min_tokens the end-of-sequence and stop ids are
// masked, and text is not searched; from the min_tokens-th token on its text is.
// Text is made (by the incremental detokenizer) only for sequences with stop strings. Thread rule: engine thread.
#ifndef BITRATE_ENGINE_RUNTIME_STOP_CHECKER_H_
#define BITRATE_ENGINE_RUNTIME_STOP_CHECKER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/runtime/token_sink.h"
#include "engine/sampling/sampling_params.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

class StopChecker {
 public:
  struct Verdict {
    FinishReason finish = FinishReason::kNone;
    std::string matched_stop;
  };

  // `tokenizer` is needed when there are stop strings. `max_output` is the most tokens to generate.
  StopChecker(const StopParams& params, std::span<const int32_t> eos_ids, int64_t max_output,
              std::shared_ptr<const Tokenizer> tokenizer);
  StopChecker(StopChecker&&) noexcept;
  StopChecker& operator=(StopChecker&&) noexcept;
  ~StopChecker();

  // `num_output` counts `token`.
  Verdict OnToken(int32_t token, int64_t num_output);

  // Ids that may not be chosen as the next token of a sequence with `num_output` tokens.
  std::span<const int32_t> Masked(int64_t num_output) const {
    return num_output < min_tokens_ ? std::span<const int32_t>(masked_) : std::span<const int32_t>();
  }

 private:
  struct Text;
  int64_t min_tokens_;
  int64_t max_output_;
  std::vector<int32_t> eos_ids_;   // sorted; empty when EOS is ignored
  std::vector<int32_t> stop_ids_;  // sorted
  std::vector<int32_t> masked_;    // both
  std::unique_ptr<Text> text_;     // null without stop strings
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_STOP_CHECKER_H_
