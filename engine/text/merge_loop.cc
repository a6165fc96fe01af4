#include "engine/text/merge_loop.h"

#include "engine/text/utf8.h"

namespace bitrate::text {

void SafeCuts::AddToken(std::string_view token) {
  if (token.empty()) return;
  char32_t previous = CodePointAt(token, 0);
  for (size_t pos = CodePointBytes(token[0]); pos < token.size(); pos += CodePointBytes(token[pos])) {
    const char32_t c = CodePointAt(token, pos);
    if (previous < 128 && c < 128) {
      ascii_.set(previous * 128 + c);
    } else {
      pairs_.insert((uint64_t{previous} << 32) | c);
    }
    previous = c;
  }
}

size_t SafeCuts::Next(std::string_view text, size_t pos) const {
  char32_t previous = CodePointAt(text, pos);
  pos += CodePointBytes(text[pos]);
  while (pos < text.size()) {
    const char32_t c = CodePointAt(text, pos);
    if (!Joins(previous, c)) return pos;
    previous = c;
    pos += CodePointBytes(text[pos]);
  }
  return pos;
}

}  // namespace bitrate::text
