// Text to token ids and back, from a Hugging Face tokenizer.json or the metadata of a GGUF file.
//
// What it runs: byte-level BPE, BPE with byte fallback, Unigram; SentencePiece BPE by score (GGUF "llama"). Anything a
// file asks for that is not run is refused by name when the file is loaded, never approximated.
//
// Thread rule: immutable after load; every method may be called from any thread. Calls share nothing but the tables.
// Cost: Encode is O(n log n) in the bytes of the text.
// Errors: INVALID_ARGUMENT a malformed file (the message names the field), text that is not UTF-8 or too long
// (limits::kMaxTokenizeBytes), an id that is no token's. FAILED_PRECONDITION a file that asks for something
// unsupported. RESOURCE_EXHAUSTED a limit of limits.h.
#ifndef BITRATE_ENGINE_TEXT_TOKENIZER_H_
#define BITRATE_ENGINE_TEXT_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/gguf_vocab.h"
#include "engine/text/jinja/byte_range.h"

namespace bitrate {

namespace text {
struct TokenizerParts;
}

struct EncodeOptions {
  // Whether the tokens that the tokenizer puts around a text (BOS, EOS) are added. Unset and true mean what the
  // tokenizer says, which may be nothing; false means none.
  std::optional<bool> add_special_tokens = std::nullopt;
  // False: special tokens written in the text stay text. True, as in Hugging Face: they become their ids.
  bool parse_special = true;
  // True: where the text itself begins with the BOS string, no BOS is put before it. (Hugging Face does put one.)
  bool single_bos = false;
  // Parts of the text that are only text: no added or special token is found in or across them (but added tokens that
  // are not special and only white space, which are spelling). Sorted, not overlapping, within the text.
  std::span<const ByteRange> literal = {};
};

class Tokenizer {
 public:
  // tokenizer_config_json may be empty; it gives BOS, EOS, PAD and UNK, the chat template, and add_bos_token and
  // add_eos_token, which where present win over the post-processor of tokenizer.json.
  static StatusOr<std::shared_ptr<const Tokenizer>> FromTokenizerJson(std::string_view tokenizer_json,
                                                                      std::string_view tokenizer_config_json);
  static StatusOr<std::shared_ptr<const Tokenizer>> FromGguf(const GgufVocab& vocab);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  StatusOr<std::vector<int32_t>> Encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Always valid UTF-8. skip_special leaves out special tokens.
  StatusOr<std::string> Decode(std::span<const int32_t> ids, bool skip_special) const;

  int32_t vocab_size() const;                    // the largest id + 1
  bool HasToken(int32_t id) const;               // ids may have holes
  bool IsSpecial(int32_t id) const;              // false for an id that is no token's
  std::string_view TokenText(int32_t id) const;  // as the vocabulary writes it; "" for an id that is no token's
  // The bytes the token adds to a text after other tokens; not always whole characters. "" for an id that is no
  // token's.
  std::string TokenBytes(int32_t id) const;
  std::optional<int32_t> TokenToId(std::string_view token) const;

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> unk_id() const;
  std::optional<int32_t> pad_id() const;
  // Tokens that end a text or a turn as far as the tokenizer knows: EOS, and EOT and EOM of a GGUF. Sorted.
  const std::vector<int32_t>& end_ids() const;
  bool AddsBos() const;  // Encode puts bos_id() first by default
  bool AddsEos() const;
  const std::string& chat_template() const;  // "" where there is none

 private:
  friend class IncrementalDetokenizer;
  explicit Tokenizer(std::unique_ptr<const text::TokenizerParts> parts);
  const std::unique_ptr<const text::TokenizerParts> parts_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TEXT_TOKENIZER_H_
