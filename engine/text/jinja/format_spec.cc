#include "engine/text/jinja/format_spec.h"

#include <charconv>
#include <cmath>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/number_text.h"

namespace bitrate::jinja {
namespace {

constexpr int64_t kMaxDigits = 1000;  // after the point

std::string Upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return text;
}

std::string FloatDigits(double magnitude, const FormatSpec& spec) {
  if (!std::isfinite(magnitude)) return FloatRepr(magnitude);
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  const char type = static_cast<char>(spec.type | 0x20);
  if (type == 'f' || spec.type == '%') return Fixed(spec.type == '%' ? magnitude * 100 : magnitude, precision);
  char buffer[kMaxDigits + 400];
  const auto format = type == 'e' ? std::chars_format::scientific : std::chars_format::general;
  const auto done =
      std::to_chars(buffer, buffer + sizeof(buffer), magnitude, format, type == 'g' && precision == 0 ? 1 : precision);
  return std::string(buffer, done.ptr);
}

void InsertThousands(std::string* digits, char separator) {
  size_t point = digits->find_first_not_of("0123456789");
  if (point == std::string::npos) point = digits->size();
  for (size_t at = point; at > 3;) {
    at -= 3;
    digits->insert(at, 1, separator);
  }
}

StatusOr<std::string> IntDigits(const Value& value, const FormatSpec& spec) {
  const int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  uint64_t magnitude = value.kind == Kind::kUint ? value.unsigned_integer : 0;
  if (value.kind != Kind::kUint) {
    const int64_t integer = value.AsInt();
    magnitude = integer < 0 ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
  }
  char buffer[65];
  const auto done = std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base);
  std::string digits(buffer, done.ptr);
  if (spec.alternate && base != 10) digits.insert(0, base == 16 ? "0x" : base == 8 ? "0o" : "0b");
  return spec.type == 'X' ? Upper(digits) : digits;
}

}  // namespace

StatusOr<int64_t> ParseCount(std::string_view text, size_t* at) {
  int64_t count = -1;
  for (; *at < text.size() && text[*at] >= '0' && text[*at] <= '9'; ++*at) {
    count = (count < 0 ? 0 : count * 10) + (text[*at] - '0');
    if (count > static_cast<int64_t>(limits::kMaxTemplateOutputBytes)) {
      return InvalidArgument("a format asks for more than {} characters", limits::kMaxTemplateOutputBytes);
    }
  }
  return count;
}

StatusOr<std::string> FormatNumber(const Value& value, const FormatSpec& spec) {
  if (!value.IsNumber()) {
    return InvalidArgument("format '{}' needs a number, got '{}'", spec.type == '\0' ? 'd' : spec.type,
                           TypeName(value));
  }
  if (spec.precision > kMaxDigits) return InvalidArgument("a format asks for more than {} digits", kMaxDigits);
  static constexpr std::string_view kFloatTypes = "eEfFgG%";
  const bool real = kFloatTypes.find(spec.type) != std::string_view::npos && spec.type != '\0';
  const bool plain_float = value.kind == Kind::kFloat && spec.type == '\0';
  const bool negative =
      value.kind == Kind::kFloat ? std::signbit(value.real) : value.kind != Kind::kUint && value.AsInt() < 0;
  std::string digits;
  if (plain_float && spec.precision < 0) {
    digits = FloatRepr(std::fabs(value.real));
  } else if (real || plain_float) {
    FormatSpec general = spec;
    if (plain_float) general.type = 'g';
    digits = FloatDigits(std::fabs(value.AsDouble()), general);
  } else {
    if (value.kind == Kind::kFloat) return InvalidArgument("format '{}' needs an integer", spec.type);
    ASSIGN_OR_RETURN(digits, IntDigits(value, spec));
  }
  if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') digits = Upper(digits);
  if (spec.separator != '\0') InsertThousands(&digits, spec.separator);
  if (spec.type == '%') digits += '%';
  if (negative) return "-" + digits;
  return spec.sign != '\0' ? spec.sign + digits : digits;
}

void AppendPadded(const Str& text, const FormatSpec& spec, char default_align, TextBuilder* out) {
  const int64_t length = static_cast<int64_t>(NumChars(text.view()));
  const int64_t padding = spec.width > length ? spec.width - length : 0;
  const char align = spec.align != '\0' ? spec.align : default_align;
  const int64_t before = align == '<' ? 0 : align == '^' ? padding / 2 : padding;
  const bool has_sign =
      align == '=' && text.size > 0 && (text.data[0] == '-' || text.data[0] == '+' || text.data[0] == ' ');
  if (has_sign) out->AppendSlice(text, 0, 1);
  for (int64_t i = 0; i < before && !out->overflow(); ++i) out->Append(spec.fill, false);
  out->AppendSlice(text, has_sign ? 1 : 0, text.size);
  for (int64_t i = before; i < padding && !out->overflow(); ++i) out->Append(spec.fill, false);
}

}  // namespace bitrate::jinja
