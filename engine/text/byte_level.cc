#include "engine/text/byte_level.h"

#include <array>

#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

constexpr int kAlphabetEnd = 0x100 + 68;

struct Tables {
  std::array<char32_t, 256> to_char{};
  std::array<int16_t, kAlphabetEnd> to_byte{};
};

constexpr Tables MakeTables() {
  Tables tables;
  for (auto& b : tables.to_byte) b = -1;
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    const char32_t c = printable ? static_cast<char32_t>(b) : next++;
    tables.to_char[static_cast<size_t>(b)] = c;
    tables.to_byte[c] = static_cast<int16_t>(b);
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

}  // namespace

char32_t ByteToChar(uint8_t byte) { return kTables.to_char[byte]; }

int CharToByte(char32_t c) { return c < kTables.to_byte.size() ? kTables.to_byte[c] : -1; }

void AppendByteLevel(std::string_view bytes, std::string* out) {
  for (const char b : bytes) AppendUtf8(ByteToChar(static_cast<uint8_t>(b)), out);
}

bool TryByteLevelDecode(std::string_view token, std::string* out) {
  const size_t before = out->size();
  for (size_t pos = 0; pos < token.size(); pos += CodePointBytes(token[pos])) {
    const int byte = CharToByte(CodePointAt(token, pos));
    if (byte < 0) {
      out->resize(before);
      return false;
    }
    out->push_back(static_cast<char>(byte));
  }
  return true;
}

void AppendByteLevelDecoded(std::string_view token, std::string* out) {
  if (!TryByteLevelDecode(token, out)) out->append(token);
}

}  // namespace bitrate::text
