// Added tokens: strings that are cut out of a text before anything else sees it. Immutable after Build.
//
// The search takes the longest match at the leftmost place, as the Hugging Face tool does, in two passes: tokens with
// normalized = false in the text as given, then the others in the normalized text between them. No token is found
// where any of its bytes is literal, except one that is not special and only white space: such a token is spelling,
// not markup, and text keeps the ids it would have alone.
#ifndef BITRATE_ENGINE_TEXT_ADDED_TOKENS_H_
#define BITRATE_ENGINE_TEXT_ADDED_TOKENS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/byte_trie.h"
#include "engine/text/normalizer.h"

namespace bitrate::text {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // ... and after it
  bool normalized = false;
  bool special = false;
};

class AddedTokens {
 public:
  struct Segment {
    size_t begin;
    size_t end;
    int32_t id;  // -1: text
  };

  // `normalizer` may be null; the contents of normalized tokens are searched for in its form.
  static StatusOr<AddedTokens> Build(std::vector<AddedToken> tokens, const Normalizer* normalizer);

  // Appends the segments of `text`, in order and without gaps.
  // literal [text.size()] or empty; parse_special = false leaves special tokens in the text.
  void Split(bool normalized, const NormalizedText& text, bool parse_special, std::vector<Segment>* out) const;

  bool HasNormalized() const { return !tries_[1].empty(); }
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  struct Found {
    int32_t token = -1;
    size_t length = 0;
  };
  Found Longest(const ByteTrie& trie, const NormalizedText& text, size_t pos) const;
  bool Accepts(const AddedToken& token, std::string_view text, size_t begin, size_t end, bool parse_special) const;

  std::vector<AddedToken> tokens_;
  std::vector<bool> only_space_;  // by token: not special and white space only
  ByteTrie tries_[2];             // [normalized], values index tokens_
};

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_ADDED_TOKENS_H_
