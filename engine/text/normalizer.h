// The normalizers of tokenizer.json: text to text, before anything is split. Immutable after load, shared by threads.
//
// A NormalizedText carries, beside its bytes, which of them come from literal text (text in which no added token may
// be found); each normalizer keeps the two in step. `literal` is empty where nothing is literal.
// Errors of Apply: RESOURCE_EXHAUSTED past limits::kMaxNormalizedBytes (a Replace can multiply its input) or a pattern
// limit.
#ifndef BITRATE_ENGINE_TEXT_NORMALIZER_H_
#define BITRATE_ENGINE_TEXT_NORMALIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/regex.h"
#include "engine/base/status.h"

namespace bitrate::text {

struct NormalizedText {
  std::string text;
  std::vector<uint8_t> literal;  // [text.size()] or empty

  // Appends bytes that all have the same mark.
  void Append(std::string_view bytes, bool is_literal);
  // Appends from.text[begin, end) with its marks.
  void AppendFrom(const NormalizedText& from, size_t begin, size_t end);
  bool AnyLiteral(size_t begin, size_t end) const;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual Status Apply(NormalizedText* text) const = 0;
};

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// A needle of a file: a plain string or a pattern.
struct TextPattern {
  std::string literal;  // used where regex is empty
  std::optional<Regex> regex;

  // The first non-overlapping occurrence at or after pos; an empty one is possible for a regex.
  StatusOr<Regex::Match> Find(std::string_view subject, size_t pos, RegexScratch* scratch) const;
};

std::unique_ptr<Normalizer> MakeUnicodeNormalizer(UnicodeForm form);
std::unique_ptr<Normalizer> MakePrepend(std::string prefix);
std::unique_ptr<Normalizer> MakeReplace(TextPattern pattern, std::string content);
std::unique_ptr<Normalizer> MakeStrip(bool left, bool right);
std::unique_ptr<Normalizer> MakeStripAccents();
std::unique_ptr<Normalizer> MakeLowercase();
std::unique_ptr<Normalizer> MakeByteLevelNormalizer();
std::unique_ptr<Normalizer> MakeNormalizerSequence(std::vector<std::unique_ptr<Normalizer>> members);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_NORMALIZER_H_
