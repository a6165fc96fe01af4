// UTF-8 and the few Unicode properties tokenizers ask for. Pure functions.
// Categories come from utf8proc (Unicode 14); White_Space is the Unicode property, as in the Rust tools that made the
// tokenizer files.
#ifndef BITRATE_ENGINE_TEXT_UTF8_H_
#define BITRATE_ENGINE_TEXT_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace bitrate::text {

inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";  // U+FFFD

// What starts at a position: a whole code point, bytes that can never become one, or a valid beginning cut off by the
// end. An invalid unit is the "maximal subpart" of the Unicode standard: one U+FFFD replaces it.
struct Utf8Unit {
  enum Kind { kValid, kInvalid, kIncomplete } kind;
  size_t length;  // bytes, at least 1
};
Utf8Unit NextUnit(std::string_view bytes, size_t pos);

// Offset of the first byte that is not valid UTF-8 (an incomplete end counts); npos where all is valid.
size_t FirstInvalidUtf8(std::string_view bytes);

// Bytes of the code point whose first byte is `lead`; the text must be valid.
inline size_t CodePointBytes(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}
// The code point at `pos` of valid UTF-8.
char32_t CodePointAt(std::string_view text, size_t pos);
// Start of the code point that ends before `pos` (> 0) of valid UTF-8.
size_t PreviousStart(std::string_view text, size_t pos);

void AppendUtf8(char32_t c, std::string* out);
// Appends `bytes` with one U+FFFD for each invalid or incomplete unit.
void AppendLossy(std::string_view bytes, std::string* out);

bool IsWhitespace(char32_t c);   // White_Space
bool IsNumeric(char32_t c);      // categories Nd, Nl, No
bool IsPunctuation(char32_t c);  // ASCII punctuation or categories P*
bool IsWord(char32_t c);         // letter, mark, number, connector, joiner: \w

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_UTF8_H_
