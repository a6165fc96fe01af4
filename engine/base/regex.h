// Patterns from files, run by PCRE2 (JIT, UTF, UCP) under the limits of limits.h: they are untrusted, and "(a+)+$" must
// end.
//
// Thread rule: Regex is immutable and shared; a RegexScratch belongs to one call.
// Errors: INVALID_ARGUMENT for a pattern that does not compile; RESOURCE_EXHAUSTED where a match runs into a limit.
#ifndef BITRATE_ENGINE_BASE_REGEX_H_
#define BITRATE_ENGINE_BASE_REGEX_H_

#include <memory>
#include <string>
#include <string_view>

#include "engine/base/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace bitrate {

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
  enum class Mode {
    kLines,  // anywhere; ^ and $ match at lines
    kStart,  // at `pos` only, as Python's re.match
    kWhole,  // from `pos` to the end, as Python's re.fullmatch
  };
  // `pattern` in PCRE2's words; the caller bounds its length (limits::kMaxPatternBytes where a file has it).
  static StatusOr<Regex> Compile(std::string_view pattern, Mode mode);

  struct Match {
    bool found = false;
    size_t begin = 0;
    size_t end = 0;
    // The first group; both 0 where there is none or it took no part.
    size_t group_begin = 0;
    size_t group_end = 0;
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

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_REGEX_H_
