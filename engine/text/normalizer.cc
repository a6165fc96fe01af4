#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/base/limits.h"
#include "engine/text/byte_level.h"
#include "engine/text/unicode_form.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

Status CheckSize(const NormalizedText& text) {
  if (text.text.size() <= limits::kMaxNormalizedBytes) return OkStatus();
  return ResourceExhausted("the normalized text exceeds {} bytes", limits::kMaxNormalizedBytes);
}

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(UnicodeForm form) : form_(form) {}

  Status Apply(NormalizedText* text) const override {
    const std::string_view in = text->text;
    if (std::all_of(in.begin(), in.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
      return OkStatus();
    }
    NormalizedText out;
    for (size_t pos = 0; pos < in.size();) {
      const size_t end = StableEnd(in, pos);
      if (static_cast<unsigned char>(in[end - 1]) < 0x80) {
        out.AppendFrom(*text, pos, end);
      } else {
        std::string chunk;
        RETURN_IF_ERROR(AppendUnicodeForm(in.substr(pos, end - pos), form_, &chunk));
        out.Append(chunk, text->AnyLiteral(pos, end));
      }
      RETURN_IF_ERROR(CheckSize(out));
      pos = end;
    }
    *text = std::move(out);
    return OkStatus();
  }

 private:
  // The end of a chunk that no normalization form looks beyond: a run of ASCII, or a run of other characters with the
  // ASCII character before it if they begin with a mark. (An ASCII character never combines with one before it, and
  // nothing but a mark combines with an ASCII character before.)
  static size_t StableEnd(std::string_view in, size_t pos) {
    const auto ascii = [&](size_t i) { return static_cast<unsigned char>(in[i]) < 0x80; };
    size_t end = pos;
    while (end < in.size() && ascii(end)) ++end;
    if (end == in.size()) return end;
    const bool mark = BeginsWithMark(CodePointAt(in, end));
    if (mark && end > pos + 1) return end - 1;
    if (!mark && end > pos) return end;
    while (end < in.size() && !ascii(end)) end += CodePointBytes(in[end]);
    return end;
  }

  const UnicodeForm form_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Status Apply(NormalizedText* text) const override {
    if (text->text.empty()) return OkStatus();
    text->text.insert(0, prefix_);
    if (!text->literal.empty()) text->literal.insert(text->literal.begin(), prefix_.size(), 0);
    return CheckSize(*text);
  }

 private:
  const std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(TextPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  Status Apply(NormalizedText* text) const override {
    const std::string_view in = text->text;
    if (!pattern_.regex && (pattern_.literal.empty() || in.find(pattern_.literal) == in.npos)) return OkStatus();
    NormalizedText out;
    RegexScratch scratch;
    size_t copied = 0;
    for (size_t pos = 0; pos <= in.size();) {
      ASSIGN_OR_RETURN(const Regex::Match match, pattern_.Find(in, pos, &scratch));
      if (!match.found) break;
      out.AppendFrom(*text, copied, match.begin);
      out.Append(content_, text->AnyLiteral(match.begin, match.end));
      RETURN_IF_ERROR(CheckSize(out));
      copied = match.end;
      pos = match.end;
      if (match.begin == match.end) pos += pos < in.size() ? CodePointBytes(in[pos]) : 1;
    }
    out.AppendFrom(*text, copied, in.size());
    *text = std::move(out);
    return CheckSize(*text);
  }

 private:
  const TextPattern pattern_;
  const std::string content_;
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Status Apply(NormalizedText* text) const override {
    const std::string_view in = text->text;
    size_t begin = 0;
    size_t end = in.size();
    while (left_ && begin < end && IsWhitespace(CodePointAt(in, begin))) begin += CodePointBytes(in[begin]);
    while (right_ && end > begin && IsWhitespace(CodePointAt(in, PreviousStart(in, end)))) end = PreviousStart(in, end);
    text->text = std::string(in.substr(begin, end - begin));
    if (!text->literal.empty()) {
      text->literal = std::vector<uint8_t>(text->literal.begin() + static_cast<ptrdiff_t>(begin),
                                           text->literal.begin() + static_cast<ptrdiff_t>(end));
    }
    return OkStatus();
  }

 private:
  const bool left_;
  const bool right_;
};

// One code point at a time, each mapped by itself.
template <typename Map>
class PerCharacter final : public Normalizer {
 public:
  Status Apply(NormalizedText* text) const override {
    const std::string_view in = text->text;
    NormalizedText out;
    std::string mapped;
    for (size_t pos = 0; pos < in.size();) {
      const size_t length = CodePointBytes(in[pos]);
      mapped.clear();
      Map()(in.substr(pos, length), &mapped);
      out.Append(mapped, text->AnyLiteral(pos, pos + length));
      pos += length;
    }
    *text = std::move(out);
    return CheckSize(*text);
  }
};

struct LowercaseMap {
  void operator()(std::string_view c, std::string* out) const {
    const char32_t code = CodePointAt(c, 0);
    if (code == 0x130) {  // the one character whose lower case is two
      out->append("i\xCC\x87");
    } else {
      AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))), out);
    }
  }
};

struct StripAccentsMap {
  void operator()(std::string_view c, std::string* out) const {
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(CodePointAt(c, 0)));
    if (category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME) out->append(c);
  }
};

struct ByteLevelMap {
  void operator()(std::string_view c, std::string* out) const { AppendByteLevel(c, out); }
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> members) : members_(std::move(members)) {}
  Status Apply(NormalizedText* text) const override {
    for (const auto& member : members_) RETURN_IF_ERROR(member->Apply(text));
    return OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<Normalizer>> members_;
};

}  // namespace

void NormalizedText::Append(std::string_view bytes, bool is_literal) {
  if (!literal.empty() || is_literal) {
    literal.resize(text.size(), 0);
    literal.resize(text.size() + bytes.size(), is_literal ? 1 : 0);
  }
  text.append(bytes);
}

void NormalizedText::AppendFrom(const NormalizedText& from, size_t begin, size_t end) {
  if (from.literal.empty()) return Append(std::string_view(from.text).substr(begin, end - begin), false);
  for (size_t i = begin; i < end;) {
    size_t j = i;
    while (j < end && from.literal[j] == from.literal[i]) ++j;
    Append(std::string_view(from.text).substr(i, j - i), from.literal[i] != 0);
    i = j;
  }
}

bool NormalizedText::AnyLiteral(size_t begin, size_t end) const {
  for (size_t i = begin; i < end && i < literal.size(); ++i) {
    if (literal[i] != 0) return true;
  }
  return false;
}

StatusOr<Regex::Match> TextPattern::Find(std::string_view subject, size_t pos, RegexScratch* scratch) const {
  if (regex) return regex->Find(subject, pos, scratch);
  if (literal.empty()) return Regex::Match{};
  const size_t begin = subject.find(literal, pos);
  if (begin == std::string_view::npos) return Regex::Match{};
  return Regex::Match{true, begin, begin + literal.size()};
}

std::unique_ptr<Normalizer> MakeUnicodeNormalizer(UnicodeForm form) {
  return std::make_unique<UnicodeNormalizer>(form);
}
std::unique_ptr<Normalizer> MakePrepend(std::string prefix) { return std::make_unique<Prepend>(std::move(prefix)); }
std::unique_ptr<Normalizer> MakeReplace(TextPattern pattern, std::string content) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}
std::unique_ptr<Normalizer> MakeStrip(bool left, bool right) { return std::make_unique<Strip>(left, right); }
std::unique_ptr<Normalizer> MakeStripAccents() { return std::make_unique<PerCharacter<StripAccentsMap>>(); }
std::unique_ptr<Normalizer> MakeLowercase() { return std::make_unique<PerCharacter<LowercaseMap>>(); }
std::unique_ptr<Normalizer> MakeByteLevelNormalizer() { return std::make_unique<PerCharacter<ByteLevelMap>>(); }
std::unique_ptr<Normalizer> MakeNormalizerSequence(std::vector<std::unique_ptr<Normalizer>> members) {
  return std::make_unique<Sequence>(std::move(members));
}

}  // namespace bitrate::text
