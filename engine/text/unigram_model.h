// Unigram language model (SentencePiece, T5): the most probable split, by Viterbi over the bytes of a piece.
#ifndef BITRATE_ENGINE_TEXT_UNIGRAM_MODEL_H_
#define BITRATE_ENGINE_TEXT_UNIGRAM_MODEL_H_

#include <memory>
#include <vector>

#include "engine/text/token_model.h"
#include "engine/text/vocab.h"

namespace bitrate::text {

// scores [vocab size]: log probabilities, finite, by id. Runs of unknown characters become one unk_id, or "<0xHH>"
// tokens where byte_fallback is on and all are there. unk_id -1: an unknown character is INVALID_ARGUMENT at Encode.
// `vocab` must outlive the model; only its first scores.size() ids take part.
StatusOr<std::unique_ptr<TokenModel>> MakeUnigramModel(const Vocab* vocab, std::vector<double> scores, int32_t unk_id,
                                                       bool byte_fallback, const HiddenIds& hidden);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_UNIGRAM_MODEL_H_
