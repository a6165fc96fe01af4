#include "engine/text/tokenizer.h"

#include <algorithm>

#include "engine/base/limits.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/utf8.h"

namespace bitrate {
namespace {

using text::NormalizedText;
using text::TokenizerParts;

Status CheckText(std::string_view text, std::span<const ByteRange> literal) {
  if (text.size() > limits::kMaxTokenizeBytes) {
    return InvalidArgument("text of {} bytes, the limit is {}", text.size(), limits::kMaxTokenizeBytes);
  }
  const size_t invalid = text::FirstInvalidUtf8(text);
  if (invalid != std::string_view::npos) return InvalidArgument("text is not UTF-8 at byte {}", invalid);
  size_t done = 0;
  for (size_t i = 0; i < literal.size(); ++i) {
    const ByteRange& range = literal[i];
    if (range.begin < done || range.end < range.begin || range.end > text.size()) {
      return InvalidArgument("literal range {}: [{}, {}) is out of order or outside the text of {} bytes", i,
                             range.begin, range.end, text.size());
    }
    done = range.end;
  }
  return OkStatus();
}

// One Encode call: a text without the tokens around it.
class Encoding {
 public:
  Encoding(const TokenizerParts& parts, bool parse_special, std::vector<int32_t>* out)
      : parts_(parts), parse_special_(parse_special), out_(out) {}

  Status Run(const NormalizedText& input) {
    std::vector<text::AddedTokens::Segment> segments;
    parts_.added.Split(/*normalized=*/false, input, parse_special_, &segments);
    for (const auto& segment : segments) {
      if (segment.id >= 0) {
        out_->push_back(segment.id);
        continue;
      }
      const bool at_start = segment.begin == 0;
      if (parts_.normalizer == nullptr && !parts_.added.HasNormalized()) {
        const std::string_view view = input.text;
        RETURN_IF_ERROR(Plain(view.substr(segment.begin, segment.end - segment.begin), at_start));
        continue;
      }
      NormalizedText part;
      part.AppendFrom(input, segment.begin, segment.end);
      if (parts_.normalizer != nullptr) RETURN_IF_ERROR(parts_.normalizer->Apply(&part));
      RETURN_IF_ERROR(Normalized(part, at_start));
    }
    return OkStatus();
  }

 private:
  Status Normalized(const NormalizedText& part, bool at_start) {
    std::vector<text::AddedTokens::Segment> segments;
    parts_.added.Split(/*normalized=*/true, part, parse_special_, &segments);
    for (const auto& segment : segments) {
      if (segment.id >= 0) {
        out_->push_back(segment.id);
        continue;
      }
      const std::string_view view = part.text;
      RETURN_IF_ERROR(Plain(view.substr(segment.begin, segment.end - segment.begin), at_start && segment.begin == 0));
    }
    return OkStatus();
  }

  Status Plain(std::string_view text, bool at_start) {
    text::PieceList list(text, at_start);
    if (parts_.pre_tokenizer != nullptr) RETURN_IF_ERROR(parts_.pre_tokenizer->Apply(&list, &regex_));
    for (const text::Piece& piece : list.pieces()) {
      RETURN_IF_ERROR(parts_.model->Encode(list[piece], &scratch_, out_));
    }
    return OkStatus();
  }

  const TokenizerParts& parts_;
  const bool parse_special_;
  std::vector<int32_t>* const out_;
  RegexScratch regex_;
  text::ModelScratch scratch_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromTokenizerJson(std::string_view tokenizer_json,
                                                                        std::string_view tokenizer_config_json) {
  ASSIGN_OR_RETURN(auto parts, text::LoadTokenizerJson(tokenizer_json, tokenizer_config_json));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromGguf(const GgufVocab& vocab) {
  ASSIGN_OR_RETURN(auto parts, text::LoadGgufVocab(vocab));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  RETURN_IF_ERROR(CheckText(text, options.literal));
  NormalizedText input{std::string(text), {}};
  for (const ByteRange& range : options.literal) {
    input.literal.resize(text.size(), 0);
    std::fill(input.literal.begin() + static_cast<ptrdiff_t>(range.begin),
              input.literal.begin() + static_cast<ptrdiff_t>(range.end), 1);
  }
  const bool add = options.add_special_tokens.value_or(true);
  std::vector<int32_t> ids;
  if (add) ids = parts_->prefix;
  const size_t body = ids.size();
  RETURN_IF_ERROR(Encoding(*parts_, options.parse_special, &ids).Run(input));
  if (options.single_bos && add && AddsBos() && ids.size() > body && ids[body] == *parts_->bos) {
    ids.erase(ids.begin());
  }
  if (add) ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  return ids;
}

StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<int32_t> kept;
  kept.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!HasToken(ids[i])) {
      return InvalidArgument("ids[{}]: {} is no token's, the vocabulary has {}", i, ids[i], vocab_size());
    }
    if (!skip_special || !IsSpecial(ids[i])) kept.push_back(ids[i]);
  }
  return parts_->decoder.Decode(parts_->vocab, kept);
}

int32_t Tokenizer::vocab_size() const { return parts_->vocab.size(); }
bool Tokenizer::HasToken(int32_t id) const { return parts_->vocab.Has(id); }
bool Tokenizer::IsSpecial(int32_t id) const { return text::IsHidden(parts_->special, id); }
std::string_view Tokenizer::TokenText(int32_t id) const { return parts_->vocab.Text(id); }

std::string Tokenizer::TokenBytes(int32_t id) const {
  return HasToken(id) ? parts_->decoder.TokenBytes(parts_->vocab, id) : std::string();
}

std::optional<int32_t> Tokenizer::TokenToId(std::string_view token) const {
  const int32_t id = parts_->vocab.FindAny(token);
  return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::unk_id() const { return parts_->unk; }
std::optional<int32_t> Tokenizer::pad_id() const { return parts_->pad; }
const std::vector<int32_t>& Tokenizer::end_ids() const { return parts_->end_ids; }

bool Tokenizer::AddsBos() const {
  return parts_->bos && !parts_->prefix.empty() && parts_->prefix.front() == *parts_->bos;
}
bool Tokenizer::AddsEos() const {
  return parts_->eos && !parts_->suffix.empty() && parts_->suffix.back() == *parts_->eos;
}
const std::string& Tokenizer::chat_template() const { return parts_->chat_template; }

}  // namespace bitrate
