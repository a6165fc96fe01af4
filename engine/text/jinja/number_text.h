// Numbers from and to text as Python does it. Pure functions, independent of the process's locale.
#ifndef BITRATE_ENGINE_TEXT_JINJA_NUMBER_TEXT_H_
#define BITRATE_ENGINE_TEXT_JINJA_NUMBER_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitrate::jinja {

// int(text, base): surrounding space, a sign, underscores between digits and (base 0 or matching) a 0x, 0o or 0b
// prefix are understood. Nothing when it is no number or does not fit 64 bits.
std::optional<int64_t> ParseInteger(std::string_view text, int base);
std::optional<double> ParseDouble(std::string_view text);  // float(text), "inf" and "nan" included

std::string FloatRepr(double value);           // repr(value): 1.0, 1e+16, inf
std::string Fixed(double value, int digits);   // '%.{digits}f', rounded half to even on the exact value
double RoundTo(double value, int64_t digits);  // round(value, digits)

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_NUMBER_TEXT_H_
