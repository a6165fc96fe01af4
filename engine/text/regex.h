// Patterns of tokenizer files, run by PCRE2 (JIT, UTF, UCP). The files are written for Oniguruma, so the classes whose
// meaning differs (\s, \w, \h) are spelled out, ^ and $ match at lines, and syntax that PCRE2 would read differently
// without saying so (nested classes, &&) is refused.
//
// Thread rule: Regex is immutable and shared; a RegexScratch belongs to one call.
// Errors: INVALID_ARGUMENT for a pattern that does not compile; RESOURCE_EXHAUSTED where a match runs into the limits
// of limits.h (patterns are untrusted: "(a+)+$" must end).
#ifndef BITRATE_ENGINE_TEXT_REGEX_H_
#define BITRATE_ENGINE_TEXT_REGEX_H_

#include <memory>
#include <string>
#include <string_view>

#include "engine/base/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace bitrate::text {

class RegexScratch {
 public:
  RegexScratch() = default;

 private:
  friend class Regex;
  struct Free {
    void operator()(pcre2_real_match_data_8* data) const;
  };
  std::unique_ptr<pcre2_real_match_data_8, Free> data_;
};

class Regex {
 public:
  static StatusOr<Regex> Compile(std::string_view pattern);

  struct Match {
    bool found = false;
    size_t begin = 0;
    size_t end = 0;
  };
  // The first match at or after `pos`. `subject` must be valid UTF-8 and `pos` on a code point.
  StatusOr<Match> Find(std::string_view subject, size_t pos, RegexScratch* scratch) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  struct FreeContext {
    void operator()(pcre2_real_match_context_8* context) const;
  };
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  std::unique_ptr<pcre2_real_match_context_8, FreeContext> context_;
};

// The pattern in PCRE2's words. Exposed for its test.
StatusOr<std::string> TranslateOniguruma(std::string_view pattern);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_REGEX_H_
