// Byte-pair encoding with a merge list (Hugging Face "BPE", GGUF "gpt2").
//
// Two alphabets: characters (with "<0xHH>" tokens for characters that are missing, where byte_fallback is on), or
// bytes (byte_level: the piece's bytes are looked up under their GPT-2 names, so the text itself is never rewritten).
// A character or byte without a token becomes unk_id, or nothing where there is none.
#ifndef BITRATE_ENGINE_TEXT_BPE_MODEL_H_
#define BITRATE_ENGINE_TEXT_BPE_MODEL_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/token_model.h"
#include "engine/text/vocab.h"

namespace bitrate::text {

struct BpeOptions {
  bool byte_level = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a piece that is a token is that token
  bool fuse_unk = false;
  int32_t unk_id = -1;
  HiddenIds hidden;
};

// merges: (left, right), best first. `vocab` must outlive the model. INVALID_ARGUMENT names a merge whose parts or
// result are not tokens.
StatusOr<std::unique_ptr<TokenModel>> MakeBpeModel(
    const Vocab* vocab, const std::vector<std::pair<std::string_view, std::string_view>>& merges,
    const BpeOptions& options);

// SentencePiece BPE as GGUF stores it (model "llama"): no merge list, the neighbours whose union has the best score
// merge first. Characters without a token become "<0xHH>" tokens, or unk_id.
// scores [vocab->size()]; INVALID_ARGUMENT for a NaN.
StatusOr<std::unique_ptr<TokenModel>> MakeSpmModel(const Vocab* vocab, std::vector<float> scores, int32_t unk_id);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_BPE_MODEL_H_
