// Case mapping and character classes as Python's str has them (Unicode 14). Pure functions over UTF-8.
#ifndef BITRATE_ENGINE_TEXT_JINJA_UNICODE_H_
#define BITRATE_ENGINE_TEXT_JINJA_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitrate::jinja {

enum class Case { kUpper, kLower, kTitle, kFold };

// Appends the mapping of the character at `byte` of `text` (lower case looks around for the final sigma) and returns
// the character's size in bytes.
size_t AppendCased(std::string_view text, size_t byte, Case to, std::string* out);

bool IsUpperChar(uint32_t code);
bool IsLowerChar(uint32_t code);
bool IsCasedChar(uint32_t code);
bool IsAlphaChar(uint32_t code);
bool IsNumericChar(uint32_t code);
bool IsDigitChar(uint32_t code);
bool IsDecimalChar(uint32_t code);
bool IsPrintableChar(uint32_t code);
inline bool IsWordChar(uint32_t code) { return code == '_' || IsAlphaChar(code) || IsNumericChar(code); }

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_UNICODE_H_
