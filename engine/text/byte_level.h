// GPT-2's printable alphabet for bytes: each byte is written as one code point, so that a vocabulary of byte strings
// can be stored as text. Source: the rule is printable ASCII and Latin-1 stand for themselves, the other 68 bytes take
// U+0100 upwards in order.
#ifndef BITRATE_ENGINE_TEXT_BYTE_LEVEL_H_
#define BITRATE_ENGINE_TEXT_BYTE_LEVEL_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace bitrate::text {

char32_t ByteToChar(uint8_t byte);
int CharToByte(char32_t c);  // -1 for a code point outside the alphabet

void AppendByteLevel(std::string_view bytes, std::string* out);
// Appends the bytes that `token` (valid UTF-8) stands for; a token with any foreign code point stands for itself, as
// added tokens do.
void AppendByteLevelDecoded(std::string_view token, std::string* out);
// False, and nothing appended, where `token` has a foreign code point.
bool TryByteLevelDecode(std::string_view token, std::string* out);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_BYTE_LEVEL_H_
