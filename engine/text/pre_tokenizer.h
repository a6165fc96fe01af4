// The pre-tokenizers of tokenizer.json: they cut a text into the pieces that the model sees one by one, and a few of
// them rewrite it. Immutable after load, shared by threads.
#ifndef BITRATE_ENGINE_TEXT_PRE_TOKENIZER_H_
#define BITRATE_ENGINE_TEXT_PRE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/regex.h"
#include "engine/base/status.h"
#include "engine/text/normalizer.h"

namespace bitrate::text {

struct Piece {
  uint32_t begin;
  uint32_t end;
  bool at_start;  // begins where the whole input begins (Metaspace "first" asks)
};

// A text and its pieces, in order, none of them empty.
class PieceList {
 public:
  // `text` must outlive the list.
  PieceList(std::string_view text, bool at_start);

  std::string_view text() const { return owns_ ? std::string_view(owned_) : view_; }
  std::string_view operator[](const Piece& piece) const { return text().substr(piece.begin, piece.end - piece.begin); }
  const std::vector<Piece>& pieces() const { return pieces_; }

  void SetPieces(std::vector<Piece> pieces) { pieces_ = std::move(pieces); }
  void Rewrite(std::string text, std::vector<Piece> pieces);

 private:
  std::string_view view_;
  std::string owned_;
  bool owns_ = false;
  std::vector<Piece> pieces_;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Status Apply(PieceList* list, RegexScratch* scratch) const = 0;
};

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
enum class PrependScheme { kAlways, kFirst, kNever };

// GPT-2's rule: contractions, then letters, numbers and the rest each with at most one space before.
extern const std::string_view kGpt2Pattern;

std::unique_ptr<PreTokenizer> MakeSplit(TextPattern pattern, SplitBehavior behavior, bool invert);
// Cuts at each code point for which `predicate` is true.
std::unique_ptr<PreTokenizer> MakeCharSplit(bool (*predicate)(char32_t), SplitBehavior behavior);
std::unique_ptr<PreTokenizer> MakeMetaspace(std::string replacement, PrependScheme scheme, bool split);
// Only the space before: the mapping of bytes itself is the model's business (see bpe_model.h).
std::unique_ptr<PreTokenizer> MakePrefixSpace();
std::unique_ptr<PreTokenizer> MakePreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> members);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_PRE_TOKENIZER_H_
