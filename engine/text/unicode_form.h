// Unicode normalization in linear time. utf8proc's own one-call function sorts combining marks by insertion, which a
// text of a million marks turns into hours; here its tables decompose and compose, and the sort is ours.
#ifndef BITRATE_ENGINE_TEXT_UNICODE_FORM_H_
#define BITRATE_ENGINE_TEXT_UNICODE_FORM_H_

#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/text/normalizer.h"

namespace bitrate::text {

// Appends `text` (valid UTF-8, at most limits::kMaxNormalizedBytes) in the given form.
Status AppendUnicodeForm(std::string_view text, UnicodeForm form, std::string* out);

// Whether the full decomposition of `c` begins with a combining mark. (U+0F73 is no mark, but made of two.)
bool BeginsWithMark(char32_t c);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_UNICODE_FORM_H_
