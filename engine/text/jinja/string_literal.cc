#include "engine/text/jinja/string_literal.h"

#include "engine/text/jinja/chars.h"

namespace bitrate::jinja {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Status AppendHex(std::string_view body, size_t digits, size_t* at, std::string* out) {
  uint32_t code = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = *at + i < body.size() ? HexDigit(body[*at + i]) : -1;
    if (digit < 0) return InvalidArgument("an escape in a string has fewer than {} hexadecimal digits", digits);
    code = code << 4 | static_cast<uint32_t>(digit);
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    return InvalidArgument("an escape in a string is not a character");
  }
  *at += digits;
  AppendUtf8(code, out);
  return OkStatus();
}

void AppendOctal(std::string_view body, size_t* at, std::string* out) {
  uint32_t code = 0;
  for (int i = 0; i < 3 && *at < body.size() && body[*at] >= '0' && body[*at] <= '7'; ++i) {
    code = code * 8 + static_cast<uint32_t>(body[(*at)++] - '0');
  }
  AppendUtf8(code, out);
}

}  // namespace

StatusOr<std::string> UnescapeLiteral(std::string_view body) {
  static constexpr std::string_view kFrom = "abfnrtv\\'\"";
  static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
  std::string out;
  for (size_t at = 0; at < body.size();) {
    const char c = body[at++];
    if (c != '\\' || at == body.size()) {
      out.push_back(c);
      continue;
    }
    const char escape = body[at++];
    const size_t simple = kFrom.find(escape);
    if (simple != std::string_view::npos) {
      out.push_back(kTo[simple]);
    } else if (escape == '\n') {
      // A backslash before the line's end joins the lines.
    } else if (escape >= '0' && escape <= '7') {
      --at;
      AppendOctal(body, &at, &out);
    } else if (escape == 'x' || escape == 'u' || escape == 'U') {
      RETURN_IF_ERROR(AppendHex(body, escape == 'x' ? 2 : escape == 'u' ? 4 : 8, &at, &out));
    } else if (escape == 'N') {
      return InvalidArgument("named characters (\\N) are not supported");
    } else {
      out.push_back('\\');
      out.push_back(escape);
    }
  }
  return out;
}

}  // namespace bitrate::jinja
