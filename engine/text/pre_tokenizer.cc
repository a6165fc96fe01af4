#include "engine/text/pre_tokenizer.h"

#include <algorithm>
#include <optional>

#include "engine/base/limits.h"
#include "engine/text/utf8.h"

namespace bitrate::text {

const std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// A stretch of a piece: either a match of the pattern or what lies between matches. Positions within the piece.
struct Span {
  uint32_t begin;
  uint32_t end;
  bool is_match;
};

// Joins spans as the behaviour says; of the result, `is_match` means "remove".
void Group(SplitBehavior behavior, std::vector<Span>* spans) {
  if (behavior == SplitBehavior::kRemoved) return;
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(spans->begin(), spans->end());
  std::vector<Span> out;
  out.reserve(spans->size());
  bool previous = false;
  for (const Span& span : *spans) {
    bool join = false;
    if (behavior == SplitBehavior::kContiguous) {
      join = span.is_match == previous;
    } else if (behavior != SplitBehavior::kIsolated) {
      join = span.is_match && !previous;
    }
    if (join && !out.empty()) {
      (backwards ? out.back().begin : out.back().end) = backwards ? span.begin : span.end;
    } else {
      out.push_back({span.begin, span.end, false});
    }
    previous = span.is_match;
  }
  if (backwards) std::reverse(out.begin(), out.end());
  *spans = std::move(out);
}

void AddPieces(const Piece& piece, const std::vector<Span>& spans, std::vector<Piece>* out) {
  for (const Span& span : spans) {
    if (span.is_match || span.begin == span.end) continue;
    out->push_back({piece.begin + span.begin, piece.begin + span.end, piece.at_start && span.begin == 0});
  }
}

class Split final : public PreTokenizer {
 public:
  Split(TextPattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  Status Apply(PieceList* list, RegexScratch* scratch) const override {
    std::vector<Piece> out;
    std::vector<Span> spans;
    for (const Piece& piece : list->pieces()) {
      spans.clear();
      RETURN_IF_ERROR(FindSpans((*list)[piece], scratch, &spans));
      Group(behavior_, &spans);
      AddPieces(piece, spans, &out);
    }
    list->SetPieces(std::move(out));
    return OkStatus();
  }

 private:
  Status FindSpans(std::string_view text, RegexScratch* scratch, std::vector<Span>* spans) const {
    uint32_t covered = 0;
    const auto add = [&](size_t begin, size_t end, bool is_match) {
      spans->push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), is_match != invert_});
    };
    for (size_t pos = 0; pos < text.size();) {
      ASSIGN_OR_RETURN(const Regex::Match match, pattern_.Find(text, pos, scratch));
      if (!match.found) break;
      if (match.begin > covered) add(covered, match.begin, false);
      add(match.begin, match.end, true);
      covered = static_cast<uint32_t>(match.end);
      pos = match.end;
      if (match.begin == match.end && pos < text.size()) pos += CodePointBytes(text[pos]);
    }
    if (covered < text.size()) add(covered, text.size(), false);
    return OkStatus();
  }

  const TextPattern pattern_;
  const SplitBehavior behavior_;
  const bool invert_;
};

class CharSplit final : public PreTokenizer {
 public:
  CharSplit(bool (*predicate)(char32_t), SplitBehavior behavior) : predicate_(predicate), behavior_(behavior) {}

  Status Apply(PieceList* list, RegexScratch*) const override {
    std::vector<Piece> out;
    std::vector<Span> spans;
    for (const Piece& piece : list->pieces()) {
      spans.clear();
      const std::string_view text = (*list)[piece];
      for (uint32_t pos = 0; pos < text.size();) {
        const auto end = static_cast<uint32_t>(pos + CodePointBytes(text[pos]));
        const bool is_match = predicate_(CodePointAt(text, pos));
        if (!is_match && !spans.empty() && !spans.back().is_match) {
          spans.back().end = end;
        } else {
          spans.push_back({pos, end, is_match});
        }
        pos = end;
      }
      Group(behavior_, &spans);
      AddPieces(piece, spans, &out);
    }
    list->SetPieces(std::move(out));
    return OkStatus();
  }

 private:
  bool (*const predicate_)(char32_t);
  const SplitBehavior behavior_;
};

// Rewrites each piece by itself: `edit` appends the new text of a piece.
template <typename Edit>
Status RewritePieces(PieceList* list, const Edit& edit) {
  std::string text;
  std::vector<Piece> pieces;
  text.reserve(list->text().size() + list->text().size() / 4);
  pieces.reserve(list->pieces().size());
  for (const Piece& piece : list->pieces()) {
    const auto begin = static_cast<uint32_t>(text.size());
    edit((*list)[piece], piece.at_start, &text);
    if (text.size() > limits::kMaxNormalizedBytes) {
      return ResourceExhausted("the pre-tokenized text exceeds {} bytes", limits::kMaxNormalizedBytes);
    }
    pieces.push_back({begin, static_cast<uint32_t>(text.size()), piece.at_start});
  }
  list->Rewrite(std::move(text), std::move(pieces));
  return OkStatus();
}

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme) {
    if (split) {
      split_ = MakeSplit(TextPattern{replacement_, std::nullopt}, SplitBehavior::kMergedWithNext, /*invert=*/false);
    }
  }

  Status Apply(PieceList* list, RegexScratch* scratch) const override {
    RETURN_IF_ERROR(RewritePieces(list, [&](std::string_view piece, bool at_start, std::string* out) {
      const bool wanted = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && at_start);
      if (wanted && piece[0] != ' ' && !piece.starts_with(replacement_)) out->append(replacement_);
      for (const char c : piece) {
        if (c == ' ') {
          out->append(replacement_);
        } else {
          out->push_back(c);
        }
      }
    }));
    return split_ == nullptr ? OkStatus() : split_->Apply(list, scratch);
  }

 private:
  const std::string replacement_;
  const PrependScheme scheme_;
  std::unique_ptr<PreTokenizer> split_;
};

class PrefixSpace final : public PreTokenizer {
 public:
  Status Apply(PieceList* list, RegexScratch*) const override {
    return RewritePieces(list, [](std::string_view piece, bool, std::string* out) {
      if (piece[0] != ' ') out->push_back(' ');
      out->append(piece);
    });
  }
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> members) : members_(std::move(members)) {}
  Status Apply(PieceList* list, RegexScratch* scratch) const override {
    for (const auto& member : members_) RETURN_IF_ERROR(member->Apply(list, scratch));
    return OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<PreTokenizer>> members_;
};

}  // namespace

PieceList::PieceList(std::string_view text, bool at_start) : view_(text) {
  if (!text.empty()) pieces_.push_back({0, static_cast<uint32_t>(text.size()), at_start});
}

void PieceList::Rewrite(std::string text, std::vector<Piece> pieces) {
  owned_ = std::move(text);
  owns_ = true;
  pieces_ = std::move(pieces);
}

std::unique_ptr<PreTokenizer> MakeSplit(TextPattern pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<Split>(std::move(pattern), behavior, invert);
}
std::unique_ptr<PreTokenizer> MakeCharSplit(bool (*predicate)(char32_t), SplitBehavior behavior) {
  return std::make_unique<CharSplit>(predicate, behavior);
}
std::unique_ptr<PreTokenizer> MakeMetaspace(std::string replacement, PrependScheme scheme, bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}
std::unique_ptr<PreTokenizer> MakePrefixSpace() { return std::make_unique<PrefixSpace>(); }
std::unique_ptr<PreTokenizer> MakePreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> members) {
  return std::make_unique<Sequence>(std::move(members));
}

}  // namespace bitrate::text
