#include "engine/text/utf8.h"

#include <utf8proc.h>

#include <cstdint>
#include <cstring>

namespace bitrate::text {
namespace {

bool IsTrail(unsigned char b) { return (b & 0xC0) == 0x80; }

}  // namespace

Utf8Unit NextUnit(std::string_view bytes, size_t pos) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(pos);
  if (lead < 0x80) return {Utf8Unit::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Unit::kInvalid, 1};
  const size_t want = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte carries the whole rule against overlong forms, surrogates and values past U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t k = 1; k < want; ++k) {
    if (pos + k >= bytes.size()) return {Utf8Unit::kIncomplete, k};
    const unsigned char b = at(pos + k);
    const bool good = k == 1 ? (b >= low && b <= high) : IsTrail(b);
    if (!good) return {Utf8Unit::kInvalid, k};
  }
  return {Utf8Unit::kValid, want};
}

size_t FirstInvalidUtf8(std::string_view bytes) {
  size_t pos = 0;
  while (pos < bytes.size()) {
    while (pos + 8 <= bytes.size()) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + pos, 8);
      if ((word & 0x8080808080808080ull) != 0) break;
      pos += 8;
    }
    if (pos >= bytes.size()) break;
    const Utf8Unit unit = NextUnit(bytes, pos);
    if (unit.kind != Utf8Unit::kValid) return pos;
    pos += unit.length;
  }
  return std::string_view::npos;
}

char32_t CodePointAt(std::string_view text, size_t pos) {
  const auto at = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t lead = at(pos);
  if (lead < 0x80) return lead;
  if (lead < 0xE0) return ((lead & 0x1F) << 6) | (at(pos + 1) & 0x3F);
  if (lead < 0xF0) return ((lead & 0x0F) << 12) | ((at(pos + 1) & 0x3F) << 6) | (at(pos + 2) & 0x3F);
  return ((lead & 0x07) << 18) | ((at(pos + 1) & 0x3F) << 12) | ((at(pos + 2) & 0x3F) << 6) | (at(pos + 3) & 0x3F);
}

size_t PreviousStart(std::string_view text, size_t pos) {
  --pos;
  while (pos > 0 && IsTrail(static_cast<unsigned char>(text[pos]))) --pos;
  return pos;
}

void AppendUtf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (c >> 6)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (c >> 12)));
    out->push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (c >> 18)));
    out->push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

void AppendLossy(std::string_view bytes, std::string* out) {
  for (size_t pos = 0; pos < bytes.size();) {
    const Utf8Unit unit = NextUnit(bytes, pos);
    if (unit.kind == Utf8Unit::kValid) {
      out->append(bytes.substr(pos, unit.length));
    } else {
      out->append(kReplacementUtf8);
    }
    pos += unit.length;
  }
}

bool IsWhitespace(char32_t c) {
  if (c < 0x80) return c == 0x20 || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsNumeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
  }
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsWord(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC;
}

}  // namespace bitrate::text
