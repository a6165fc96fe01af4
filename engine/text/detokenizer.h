// Ids to text one by one, for streams: every piece is valid UTF-8, and half a character is held back until it is whole
// or is known to be invalid (then it is U+FFFD).
//
// After each Push everything decoded so far has been handed out, unless it ends in U+FFFD, in which case nothing new
// is. The pieces and the flush add up to Tokenizer::Decode of the same ids.
// Thread rule: one owner. Push never fails: an id that is no token's adds nothing.
#ifndef BITRATE_ENGINE_TEXT_DETOKENIZER_H_
#define BITRATE_ENGINE_TEXT_DETOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/text/decoder.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);

  std::string Push(int32_t id);
  // What is held back. Afterwards the detokenizer is as new.
  std::string Flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  text::DecodeStream stream_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TEXT_DETOKENIZER_H_
