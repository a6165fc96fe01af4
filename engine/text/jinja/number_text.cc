#include "engine/text/jinja/number_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/text/jinja/chars.h"

namespace bitrate::jinja {
namespace {

// The digits without their underscores; nothing when an underscore is not between digits.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits.push_back(text[i]);
    } else if (i == 0 || i + 1 == text.size() || text[i - 1] == '_' || text[i - 1] == '.' || text[i + 1] == '.') {
      return std::nullopt;
    }
  }
  return digits;
}

bool TakeSign(std::string_view* text) {
  const bool negative = !text->empty() && text->front() == '-';
  if (negative || (!text->empty() && text->front() == '+')) text->remove_prefix(1);
  return negative;
}

int PrefixBase(std::string_view text) {
  if (text.size() < 3 || text[0] != '0') return 0;
  switch (text[1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 0;
  }
}

std::string_view Lower(std::string_view text, std::string* storage) {
  storage->assign(text);
  for (char& c : *storage) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return *storage;
}

}  // namespace

std::optional<int64_t> ParseInteger(std::string_view text, int base) {
  text = StripSpace(text, true, true);
  const bool negative = TakeSign(&text);
  const int prefix = PrefixBase(text);
  if (prefix != 0 && (base == 0 || base == prefix)) {
    text.remove_prefix(2);
    base = prefix;
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos) {
      return std::nullopt;
    }
  }
  if (base < 2 || base > 36) return std::nullopt;
  const std::optional<std::string> digits = WithoutUnderscores(text);
  if (!digits.has_value() || digits->empty() || (*digits)[0] == '-') return std::nullopt;
  uint64_t magnitude = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, magnitude, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  const uint64_t limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) + (negative ? 1 : 0);
  if (magnitude > limit) return std::nullopt;
  return negative ? static_cast<int64_t>(0 - magnitude) : static_cast<int64_t>(magnitude);
}

std::optional<double> ParseDouble(std::string_view text) {
  text = StripSpace(text, true, true);
  const bool negative = TakeSign(&text);
  std::string storage;
  const std::string_view word = Lower(text.substr(0, 16), &storage);
  double value = 0;
  if (word == "inf" || word == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (word == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    const std::optional<std::string> digits = WithoutUnderscores(text);
    if (!digits.has_value() || digits->empty()) return std::nullopt;
    const char first = (*digits)[0];
    if (!(first >= '0' && first <= '9') && first != '.') return std::nullopt;
    const char* end = digits->data() + digits->size();
    const auto [stop, error] = std::from_chars(digits->data(), end, value);
    if (stop != end) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      const size_t exponent = digits->find_first_of("eE");
      const bool tiny = exponent == std::string::npos ? first == '0' || first == '.' : (*digits)[exponent + 1] == '-';
      value = tiny ? 0 : std::numeric_limits<double>::infinity();
    } else if (error != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  int exponent = 0;
  const size_t e = text.find('e');
  const char* digits = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits, scientific.ptr, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string result(buffer, fixed.ptr);
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

std::string Fixed(double value, int digits) {
  if (!std::isfinite(value)) return FloatRepr(value);
  digits = std::clamp(digits, 0, 1000);
  std::string buffer(static_cast<size_t>(digits) + 330, '\0');  // the largest double has 309 digits before the point
  const auto done =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, digits);
  buffer.resize(static_cast<size_t>(done.ptr - buffer.data()));
  return buffer;
}

double RoundTo(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits >= 0) return ParseDouble(Fixed(value, static_cast<int>(digits))).value_or(value);
  if (digits < -308) return std::copysign(0.0, value);
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / scale) * scale;
}

}  // namespace bitrate::jinja
