// What a Tokenizer is made of, and the loaders that fill it.
#ifndef BITRATE_ENGINE_TEXT_TOKENIZER_PARTS_H_
#define BITRATE_ENGINE_TEXT_TOKENIZER_PARTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/added_tokens.h"
#include "engine/text/decoder.h"
#include "engine/text/gguf_vocab.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/token_model.h"
#include "engine/text/vocab.h"

namespace bitrate::text {

struct TokenizerParts {
  explicit TokenizerParts(int64_t max_vocab) : vocab(max_vocab) {}

  Vocab vocab;
  HiddenIds special;  // by id
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<TokenModel> model;
  Decoder decoder;
  std::vector<int32_t> prefix, suffix;  // what the post-processor puts around a text
  std::optional<int32_t> bos, eos, unk, pad;
  std::vector<int32_t> end_ids;
  std::string chat_template;
};

StatusOr<std::unique_ptr<TokenizerParts>> LoadTokenizerJson(std::string_view tokenizer_json,
                                                            std::string_view tokenizer_config_json);
StatusOr<std::unique_ptr<TokenizerParts>> LoadGgufVocab(const GgufVocab& gguf);

// Marks `tokens` that are special in parts->special and builds parts->added. The normalizer must be in place.
Status SetAddedTokens(std::vector<AddedToken> tokens, TokenizerParts* parts);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_TOKENIZER_PARTS_H_
