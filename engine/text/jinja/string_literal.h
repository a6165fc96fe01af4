// The escapes of a Python string literal ("\n", "\x41", "\u00e9", "\101"; unknown ones keep their backslash).
// Pure. Errors: INVALID_ARGUMENT for a cut-off escape, a surrogate or \N{...}.
#ifndef BITRATE_ENGINE_TEXT_JINJA_STRING_LITERAL_H_
#define BITRATE_ENGINE_TEXT_JINJA_STRING_LITERAL_H_

#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace bitrate::jinja {

StatusOr<std::string> UnescapeLiteral(std::string_view body);  // the text between the quotes

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_STRING_LITERAL_H_
