#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <iterator>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/unicode_classes.h"
#include "engine/text/jinja/unicode_tables.h"

namespace bitrate::jinja {
namespace {

template <size_t N>
const CaseRange* FindCase(const CaseRange (&table)[N], uint32_t code) {
  const CaseRange* row =
      std::partition_point(std::begin(table), std::end(table), [code](const CaseRange& r) { return r.last < code; });
  const bool inside = row != std::end(table) && row->first <= code && (code - row->first) % row->stride == 0;
  return inside ? row : nullptr;
}

template <size_t N>
bool InRanges(const CodeRange (&table)[N], uint32_t code) {
  const CodeRange* row =
      std::partition_point(std::begin(table), std::end(table), [code](const CodeRange& r) { return r.last < code; });
  return row != std::end(table) && row->first <= code;
}

template <size_t N>
const char* FindSpecial(const CaseSpecial (&table)[N], uint32_t code) {
  if (code > 0x2000 && (code < 0xfb00 || code > 0xfb17)) return nullptr;  // all lie outside; spares CJK text the scan
  for (const CaseSpecial& row : table) {
    if (row.code == code) return row.text;
  }
  return nullptr;
}

// Sigma is final when a letter comes before it and none after.
bool IsFinalSigma(std::string_view text, size_t byte) {
  if (byte == 0 || !IsCasedChar(CharAt(text, CharBefore(text, byte)).code)) return false;
  const size_t next = byte + 2;
  return next >= text.size() || !IsCasedChar(CharAt(text, next).code);
}

// Null when `code` maps to one code point, stored in `mapped`.
const char* Map(uint32_t code, Case to, uint32_t* mapped) {
  *mapped = code;
  if (to == Case::kLower) {
    if (code == 0x130) return "i\xcc\x87";
    const CaseRange* row = FindCase(kLower, code);
    if (row != nullptr) *mapped = code + static_cast<uint32_t>(row->delta);
    return nullptr;
  }
  if (to == Case::kTitle) {
    if (const char* special = FindSpecial(kTitleSpecial, code)) return special;
    if (const CaseRange* row = FindCase(kTitleOnly, code)) {
      *mapped = code + static_cast<uint32_t>(row->delta);
      return nullptr;
    }
  }
  if (const char* special = FindSpecial(kUpperSpecial, code)) return special;
  if (const CaseRange* row = FindCase(kUpper, code)) *mapped = code + static_cast<uint32_t>(row->delta);
  return nullptr;
}

// Folding is the lower case of the upper case, but for the dotless i and Cherokee, which folds to its capitals.
void AppendFolded(std::string_view character, uint32_t code, std::string* out) {
  const bool cherokee = (code >= 0x13a0 && code < 0x1400) || (code >= 0xab70 && code < 0xabc0);
  std::string upper;
  AppendCased(character, 0, code == 0x131 ? Case::kLower : Case::kUpper, &upper);
  for (size_t at = 0; at < upper.size();) at += AppendCased(upper, at, cherokee ? Case::kUpper : Case::kLower, out);
}

}  // namespace

size_t AppendCased(std::string_view text, size_t byte, Case to, std::string* out) {
  const Char c = CharAt(text, byte);
  if (c.code < 0x80) {
    const char ch = static_cast<char>(c.code);
    const bool upper = to == Case::kUpper || to == Case::kTitle;
    if (upper && ch >= 'a' && ch <= 'z') {
      out->push_back(static_cast<char>(ch - 32));
    } else if (!upper && ch >= 'A' && ch <= 'Z') {
      out->push_back(static_cast<char>(ch + 32));
    } else {
      out->push_back(ch);
    }
    return 1;
  }
  if (c.code == Char::kInvalid) {
    out->push_back(text[byte]);
    return 1;
  }
  if (to == Case::kFold) {
    AppendFolded(text.substr(byte, c.size), c.code, out);
    return c.size;
  }
  uint32_t mapped = c.code;
  if (to == Case::kLower && c.code == 0x3a3) {
    mapped = IsFinalSigma(text, byte) ? 0x3c2 : 0x3c3;
  } else if (const char* special = Map(c.code, to, &mapped)) {
    out->append(special);
    return c.size;
  }
  AppendUtf8(mapped, out);
  return c.size;
}

bool IsUpperChar(uint32_t code) { return FindCase(kUpperCase, code) != nullptr; }
bool IsLowerChar(uint32_t code) { return FindCase(kLowerCase, code) != nullptr; }
// Title case letters are the four digraph ranges and the Greek ones with iota: those that title() leaves alone.
bool IsCasedChar(uint32_t code) {
  if (IsUpperChar(code) || IsLowerChar(code)) return true;
  return code == 0x1c5 || code == 0x1c8 || code == 0x1cb || code == 0x1f2 ||
         (code >= 0x1f88 && code <= 0x1ffc && FindSpecial(kTitleSpecial, code) != nullptr);
}
bool IsAlphaChar(uint32_t code) { return InRanges(kAlpha, code); }
bool IsNumericChar(uint32_t code) { return InRanges(kNumeric, code); }
bool IsDigitChar(uint32_t code) { return InRanges(kDigit, code); }
bool IsDecimalChar(uint32_t code) { return InRanges(kDecimal, code); }
bool IsPrintableChar(uint32_t code) { return code != Char::kInvalid && !InRanges(kNotPrintable, code); }

}  // namespace bitrate::jinja
