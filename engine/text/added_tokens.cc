#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/base/limits.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

bool OnlySpace(std::string_view text) {
  for (size_t pos = 0; pos < text.size(); pos += CodePointBytes(text[pos])) {
    const char32_t c = CodePointAt(text, pos);
    // The SentencePiece space is white space in its vocabularies.
    if (!IsWhitespace(c) && c != 0x2581) return false;
  }
  return true;
}

}  // namespace

StatusOr<AddedTokens> AddedTokens::Build(std::vector<AddedToken> tokens, const Normalizer* normalizer) {
  if (tokens.size() > limits::kMaxAddedTokens) {
    return InvalidArgument("{} added tokens, the limit is {}", tokens.size(), limits::kMaxAddedTokens);
  }
  AddedTokens added;
  added.tokens_ = std::move(tokens);
  std::vector<std::string> storage;
  storage.reserve(added.tokens_.size());  // the keys are views into it
  std::vector<std::pair<std::string_view, int32_t>> keys[2];
  for (size_t i = 0; i < added.tokens_.size(); ++i) {
    const AddedToken& token = added.tokens_[i];
    NormalizedText key{token.content, {}};
    if (token.normalized && normalizer != nullptr) RETURN_IF_ERROR(normalizer->Apply(&key));
    const size_t bytes = std::max(token.content.size(), key.text.size());
    if (bytes > limits::kMaxMatchedTokenBytes) {
      return InvalidArgument("added token {}: {} bytes, the limit is {}", token.id, bytes,
                             limits::kMaxMatchedTokenBytes);
    }
    storage.push_back(std::move(key.text));
    keys[token.normalized ? 1 : 0].emplace_back(storage.back(), static_cast<int32_t>(i));
    added.only_space_.push_back(!token.special && OnlySpace(token.content));
  }
  for (int p = 0; p < 2; ++p) added.tries_[p] = ByteTrie::Build(std::move(keys[p]));
  return added;
}

AddedTokens::Found AddedTokens::Longest(const ByteTrie& trie, const NormalizedText& text, size_t pos) const {
  Found found;
  trie.ForEachPrefix(text.text, pos, [&](int32_t token, size_t length) {
    if (only_space_[static_cast<size_t>(token)] || !text.AnyLiteral(pos, pos + length)) found = {token, length};
  });
  return found;
}

bool AddedTokens::Accepts(const AddedToken& token, std::string_view text, size_t begin, size_t end,
                          bool parse_special) const {
  if (token.special && !parse_special) return false;
  if (!token.single_word) return true;
  const bool word_before = begin > 0 && IsWord(CodePointAt(text, PreviousStart(text, begin)));
  const bool word_after = end < text.size() && IsWord(CodePointAt(text, end));
  return !word_before && !word_after;
}

void AddedTokens::Split(bool normalized, const NormalizedText& text, bool parse_special,
                        std::vector<Segment>* out) const {
  const ByteTrie& trie = tries_[normalized ? 1 : 0];
  const std::string_view in = text.text;
  size_t done = 0;  // everything before is in *out
  for (size_t pos = 0; !trie.empty() && pos < in.size();) {
    if (!trie.CanStart(in[pos])) {
      ++pos;
      continue;
    }
    const Found found = Longest(trie, text, pos);
    if (found.token < 0) {
      ++pos;
      continue;
    }
    size_t begin = pos;
    size_t end = pos + found.length;
    pos = end;  // a match that is not accepted is still passed over, as the original does
    const AddedToken& token = tokens_[static_cast<size_t>(found.token)];
    if (begin < done || !Accepts(token, in, begin, end, parse_special)) continue;
    if (token.lstrip) {
      while (begin > done && IsWhitespace(CodePointAt(in, PreviousStart(in, begin)))) begin = PreviousStart(in, begin);
    }
    if (token.rstrip) {
      while (end < in.size() && IsWhitespace(CodePointAt(in, end))) end += CodePointBytes(in[end]);
    }
    if (done < begin) out->push_back({done, begin, -1});
    out->push_back({begin, end, token.id});
    done = end;
  }
  if (done < in.size()) out->push_back({done, in.size(), -1});
}

}  // namespace bitrate::text
