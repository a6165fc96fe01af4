// How a context and a continuation become token ids for scoring, exactly as lm-eval does: white space at the end of the
// context moves to the continuation, the whole is encoded, and the ids of the context alone are counted off. An empty
// context is the end-of-sequence token. No special tokens are added.
//
// Thread rule: pure functions. Errors: INVALID_ARGUMENT for text that the tokenizer refuses or an empty continuation,
// FAILED_PRECONDITION for an empty context without an end-of-sequence token.
// Source: lm-evaluation-harness, TemplateLM._encode_pair and loglikelihood.
#ifndef BITRATE_ENGINE_MODEL_SOURCE_SCORE_SPLIT_H_
#define BITRATE_ENGINE_MODEL_SOURCE_SCORE_SPLIT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

struct ScoreIds {
  std::vector<int32_t> context;       // at least one
  std::vector<int32_t> continuation;  // at least one
};

// Bytes of `text` without the white space at its end (what Python's str.rstrip takes).
size_t TrimmedSize(const std::string& text);

StatusOr<ScoreIds> SplitScoreText(const Tokenizer& tokenizer, std::optional<int32_t> eos_id, std::string context,
                                  std::string continuation);
StatusOr<ScoreIds> SplitScoreIds(std::optional<int32_t> eos_id, std::vector<int32_t> context,
                                 std::vector<int32_t> continuation);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_SOURCE_SCORE_SPLIT_H_
