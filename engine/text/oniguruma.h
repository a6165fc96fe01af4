// Patterns of tokenizer files as Regex. The files are written for Oniguruma, so the classes whose meaning differs (\s,
// \w, \h) are spelled out, ^ and $ match at lines, and syntax that PCRE2 would read differently without saying so
// (nested classes, &&) is refused.
//
// Thread rule: pure. Errors: INVALID_ARGUMENT.
#ifndef BITRATE_ENGINE_TEXT_ONIGURUMA_H_
#define BITRATE_ENGINE_TEXT_ONIGURUMA_H_

#include <string>
#include <string_view>

#include "engine/base/regex.h"
#include "engine/base/status.h"

namespace bitrate::text {

StatusOr<Regex> CompileOniguruma(std::string_view pattern);

// The pattern in PCRE2's words. Exposed for its test.
StatusOr<std::string> TranslateOniguruma(std::string_view pattern);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_ONIGURUMA_H_
