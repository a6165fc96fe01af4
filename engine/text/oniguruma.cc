#include "engine/text/oniguruma.h"

#include "engine/base/limits.h"

namespace bitrate::text {
namespace {

// Unicode White_Space. PCRE2's own \s also has U+180E, which stopped being a space in Unicode 6.3.
constexpr std::string_view kSpaceSet =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kWordSet = "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}";
constexpr std::string_view kHexSet = "0-9a-fA-F";

std::string_view SetOf(char letter) {
  switch (letter) {
    case 's':
    case 'S':
      return kSpaceSet;
    case 'w':
    case 'W':
      return kWordSet;
    case 'h':
    case 'H':
      return kHexSet;
    default:
      return {};
  }
}

// Writes the escape at pattern[i] == '\\' and returns how many bytes it read.
StatusOr<size_t> TranslateEscape(std::string_view pattern, size_t i, bool in_class, std::string* out) {
  if (i + 1 >= pattern.size()) return InvalidArgument("pattern ends in a backslash");
  const char c = pattern[i + 1];
  const std::string_view set = SetOf(c);
  if (set.empty()) {
    out->append(pattern.substr(i, 2));
    return size_t{2};
  }
  const bool negated = c < 'a';
  if (in_class && negated) {
    if (c == 'H') return InvalidArgument("\\H inside a character class is not supported (byte {})", i);
    out->append(pattern.substr(i, 2));
  } else if (in_class) {
    out->append(set);
  } else {
    out->append(negated ? "[^" : "[").append(set).append("]");
  }
  return size_t{2};
}

}  // namespace

StatusOr<std::string> TranslateOniguruma(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  size_t class_begin = 0;  // first byte that may close the class
  for (size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '\\') {
      ASSIGN_OR_RETURN(const size_t read, TranslateEscape(pattern, i, in_class, &out));
      i += read;
      continue;
    }
    if (!in_class && c == '[') {
      in_class = true;
      class_begin = i + (pattern.substr(i, 2) == "[^" ? 2 : 1);
    } else if (in_class && c == ']' && i > class_begin) {
      in_class = false;
    } else if (in_class && c == '[' && i >= class_begin) {
      const size_t close = pattern.substr(i, 2) == "[:" ? pattern.find(":]", i + 2) : std::string_view::npos;
      if (close == std::string_view::npos) {
        return InvalidArgument("a character class inside a character class is not supported (byte {})", i);
      }
      out.append(pattern.substr(i, close + 2 - i));
      i = close + 2;
      continue;
    } else if (in_class && pattern.substr(i, 2) == "&&") {
      return InvalidArgument("&& in a character class is not supported (byte {})", i);
    }
    out.push_back(c);
    ++i;
  }
  return out;
}

StatusOr<Regex> CompileOniguruma(std::string_view pattern) {
  if (pattern.size() > limits::kMaxPatternBytes) {
    return InvalidArgument("pattern of {} bytes, the limit is {}", pattern.size(), limits::kMaxPatternBytes);
  }
  ASSIGN_OR_RETURN(const std::string translated, TranslateOniguruma(pattern));
  return Regex::Compile(translated, Regex::Mode::kLines);
}

}  // namespace bitrate::text
