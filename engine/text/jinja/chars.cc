#include "engine/text/jinja/chars.h"

#include <string.h>  // memmem

namespace bitrate::jinja {

Char CharAt(std::string_view text, size_t byte) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(byte);
  if (lead < 0x80) return {lead, 1};
  const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || size > text.size() - byte) return {Char::kInvalid, 1};
  uint32_t code = lead & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((at(byte + i) & 0xc0) != 0x80) return {Char::kInvalid, 1};
    code = code << 6 | (at(byte + i) & 0x3fu);
  }
  static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {Char::kInvalid, 1};
  return {code, size};
}

size_t CharBefore(std::string_view text, size_t byte) {
  for (size_t size = 1; size <= 4 && size <= byte; ++size) {
    const Char c = CharAt(text, byte - size);
    if (c.code != Char::kInvalid && c.size == size) return byte - size;
  }
  return byte - 1;
}

size_t NumChars(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += CharAt(text, i).size) ++count;
  return count;
}

size_t ByteOfChar(std::string_view text, size_t index) {
  size_t i = 0;
  for (; index > 0 && i < text.size(); --index) i += CharAt(text, i).size;
  return i;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code >> 6));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code >> 12));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | code >> 18));
    out->push_back(static_cast<char>(0x80 | (code >> 12 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

bool IsSpace(uint32_t code) {
  if (code <= 0x20) return code == 0x20 || (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f);
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool IsLineBreak(uint32_t code) {
  return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

std::string_view StripSpace(std::string_view text, bool left, bool right) {
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const Char c = CharAt(text, begin);
    if (!IsSpace(c.code)) break;
    begin += c.size;
  }
  while (right && end > begin) {
    const size_t start = CharBefore(text, end);
    if (!IsSpace(CharAt(text, start).code)) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

size_t FindText(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  if (text.empty()) return std::string_view::npos;  // memmem may not be given a null pointer
  // glibc's memmem is linear; string_view::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace bitrate::jinja
