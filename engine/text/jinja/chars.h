// UTF-8 by code points, the way Python's str counts. Bytes that are not UTF-8 count as one character each and pass
// through unchanged. Pure functions.
#ifndef BITRATE_ENGINE_TEXT_JINJA_CHARS_H_
#define BITRATE_ENGINE_TEXT_JINJA_CHARS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitrate::jinja {

struct Char {
  uint32_t code = 0;  // kInvalid for a stray byte
  size_t size = 0;    // bytes
  static constexpr uint32_t kInvalid = 0xffffffffu;
};

Char CharAt(std::string_view text, size_t byte);        // byte < text.size()
size_t CharBefore(std::string_view text, size_t byte);  // start of the character that ends at `byte` > 0
size_t NumChars(std::string_view text);
size_t ByteOfChar(std::string_view text, size_t index);  // text.size() when there are fewer characters
void AppendUtf8(uint32_t code, std::string* out);
bool IsSpace(uint32_t code);      // str.isspace
bool IsLineBreak(uint32_t code);  // what str.splitlines splits at
// text.strip() of one or both ends, as a byte range of `text`.
std::string_view StripSpace(std::string_view text, bool left, bool right);

// Where `needle` begins at or after byte `from`; npos when nowhere. Linear.
size_t FindText(std::string_view text, std::string_view needle, size_t from);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_CHARS_H_
