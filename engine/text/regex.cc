#include "engine/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

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

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof(buffer)) < 0) return "unknown error";
  return reinterpret_cast<const char*>(buffer);
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

void RegexScratch::Free::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Regex::FreeContext::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }

StatusOr<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > limits::kMaxPatternBytes) {
    return InvalidArgument("pattern of {} bytes, the limit is {}", pattern.size(), limits::kMaxPatternBytes);
  }
  ASSIGN_OR_RETURN(const std::string translated, TranslateOniguruma(pattern));
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> compile(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  Regex regex;
  regex.context_.reset(pcre2_match_context_create(nullptr));
  if (compile == nullptr || regex.context_ == nullptr) return ResourceExhausted("no memory for a pattern");
  pcre2_set_newline(compile.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), kOptions, &error,
                                  &offset, compile.get()));
  if (regex.code_ == nullptr) {
    return InvalidArgument("pattern does not compile at byte {} of its PCRE2 form: {}", offset, PcreMessage(error));
  }
  // Where JIT refuses a pattern, pcre2_match interprets it: slower, same matches, same limits.
  pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  pcre2_set_match_limit(regex.context_.get(), limits::kPcreMatchLimit);
  pcre2_set_depth_limit(regex.context_.get(), limits::kPcreDepthLimit);
  pcre2_set_heap_limit(regex.context_.get(), limits::kPcreHeapKib);
  return regex;
}

StatusOr<Regex::Match> Regex::Find(std::string_view subject, size_t pos, RegexScratch* scratch) const {
  if (scratch->data_ == nullptr) {
    scratch->data_.reset(pcre2_match_data_create(1, nullptr));  // the whole match only
    if (scratch->data_ == nullptr) return ResourceExhausted("no memory to match a pattern");
  }
  // An empty view may carry a null pointer, which PCRE2 refuses.
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data() == nullptr ? "" : subject.data());
  // The text is known to be valid; checking it again at each match would make a pass quadratic.
  int rc =
      pcre2_match(code_.get(), text, subject.size(), pos, PCRE2_NO_UTF_CHECK, scratch->data_.get(), context_.get());
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
    rc = pcre2_match(code_.get(), text, subject.size(), pos, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->data_.get(),
                     context_.get());
  }
  if (rc == PCRE2_ERROR_NOMATCH) return Match{};
  if (rc < 0) return ResourceExhausted("a tokenizer pattern gave up at byte {}: {}", pos, PcreMessage(rc));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(scratch->data_.get());
  // \K in a lookahead can put the start past the end; nothing sensible follows from such a match.
  if (range[0] > range[1] || range[0] < pos) return InvalidArgument("a tokenizer pattern moved its match backwards");
  return Match{true, range[0], range[1]};
}

}  // namespace bitrate::text
