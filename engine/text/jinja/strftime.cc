// strftime in the C locale whatever the process's, so that a prompt is the same everywhere.
#include <fmt/format.h>

#include <array>

#include "engine/text/jinja/interpreter.h"

namespace bitrate::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                      "May",       "June",     "July",     "August",
                                                      "September", "October",  "November", "December"};

bool IsLeap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

// ISO 8601 week and the year it belongs to.
std::pair<int, int> IsoWeek(int year, int yday, int wday) {
  const int weekday = (wday + 6) % 7;  // Monday is 0
  const auto weeks_in = [](int y) {
    const auto dec31 = [](int z) { return (z + z / 4 - z / 100 + z / 400) % 7; };
    return dec31(y) == 4 || dec31(y - 1) == 3 ? 53 : 52;
  };
  const int week = (yday - weekday + 10) / 7;
  if (week < 1) return {year - 1, weeks_in(year - 1)};
  if (week > weeks_in(year)) return {year + 1, 1};
  return {year, week};
}

std::string Two(int value) { return fmt::format("{:02}", value); }

std::string DateField(char code, const std::tm& t) {
  const int year = t.tm_year + 1900;
  switch (code) {
    case 'Y':
      return fmt::format("{}", year);
    case 'C':
      return Two(year / 100);
    case 'y':
      return Two(year % 100);
    case 'm':
      return Two(t.tm_mon + 1);
    case 'd':
      return Two(t.tm_mday);
    case 'e':
      return fmt::format("{:2}", t.tm_mday);
    case 'j':
      return fmt::format("{:03}", t.tm_yday + 1);
    case 'a':
      return std::string(kDays[t.tm_wday].substr(0, 3));
    case 'A':
      return std::string(kDays[t.tm_wday]);
    case 'b':
    case 'h':
      return std::string(kMonths[t.tm_mon].substr(0, 3));
    case 'B':
      return std::string(kMonths[t.tm_mon]);
    case 'u':
      return fmt::format("{}", t.tm_wday == 0 ? 7 : t.tm_wday);
    case 'w':
      return fmt::format("{}", t.tm_wday);
    case 'U':
      return Two((t.tm_yday + 7 - t.tm_wday) / 7);
    case 'W':
      return Two((t.tm_yday + 7 - (t.tm_wday + 6) % 7) / 7);
    case 'V':
      return Two(IsoWeek(year, t.tm_yday, t.tm_wday).second);
    case 'G':
      return fmt::format("{}", IsoWeek(year, t.tm_yday, t.tm_wday).first);
    case 'g':
      return Two(IsoWeek(year, t.tm_yday, t.tm_wday).first % 100);
    default:
      return {};
  }
}

std::string Field(char code, const std::tm& t) {
  const int hour12 = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  const std::string clock = fmt::format("{:02}:{:02}:{:02}", t.tm_hour, t.tm_min, t.tm_sec);
  const int year = t.tm_year + 1900;
  switch (code) {
    case 'H':
      return Two(t.tm_hour);
    case 'I':
      return Two(hour12);
    case 'k':
      return fmt::format("{:2}", t.tm_hour);
    case 'l':
      return fmt::format("{:2}", hour12);
    case 'M':
      return Two(t.tm_min);
    case 'S':
      return Two(t.tm_sec);
    case 'f':
      return "000000";
    case 'p':
      return t.tm_hour < 12 ? "AM" : "PM";
    case 'P':
      return t.tm_hour < 12 ? "am" : "pm";
    case 'T':
    case 'X':
      return clock;
    case 'R':
      return clock.substr(0, 5);
    case 'r':
      return fmt::format("{:02}{} {}", hour12, clock.substr(2), t.tm_hour < 12 ? "AM" : "PM");
    case 'D':
    case 'x':
      return fmt::format("{:02}/{:02}/{:02}", t.tm_mon + 1, t.tm_mday, year % 100);
    case 'F':
      return fmt::format("{}-{:02}-{:02}", year, t.tm_mon + 1, t.tm_mday);
    case 'c':
      return fmt::format("{} {} {:2} {} {}", kDays[t.tm_wday].substr(0, 3), kMonths[t.tm_mon].substr(0, 3), t.tm_mday,
                         clock, year);
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case '%':
      return "%";
    case 'z':
    case 'Z':
      return {};  // the time is a local one without a zone
    default:
      return DateField(code, t);
  }
}

// glibc's "%-d" (no padding) and "%_d" (spaces) are common in templates.
std::string Repadded(std::string text, char flag) {
  size_t zeros = 0;
  while (zeros + 1 < text.size() && (text[zeros] == '0' || text[zeros] == ' ')) ++zeros;
  if (flag == '-') return text.substr(zeros);
  for (size_t i = 0; flag == '_' && i < zeros; ++i) text[i] = ' ';
  return text;
}

}  // namespace

StatusOr<std::string> FormatTime(std::string_view format, const std::tm& time) {
  const int year = time.tm_year + 1900;
  const bool valid = year >= 1 && year <= 9999 && time.tm_mon >= 0 && time.tm_mon < 12 && time.tm_wday >= 0 &&
                     time.tm_wday < 7 && time.tm_mday >= 1 && time.tm_mday <= 31 && time.tm_yday >= 0 &&
                     time.tm_yday < (IsLeap(year) ? 366 : 365) && time.tm_hour >= 0 && time.tm_hour < 24 &&
                     time.tm_min >= 0 && time.tm_min < 60 && time.tm_sec >= 0 && time.tm_sec <= 60;
  if (!valid) return InvalidArgument("strftime_now: the clock gives an impossible date");
  static constexpr std::string_view kCodes = "YCymdejaAbhBuwUWVGgHIklMSfpPTXRrDxFcnt%zZ";
  std::string out;
  for (size_t at = 0; at < format.size(); ++at) {
    const size_t flag = at + 1 < format.size() && (format[at + 1] == '-' || format[at + 1] == '_') ? 1 : 0;
    const size_t code = at + 1 + flag;
    if (format[at] != '%' || code >= format.size() || kCodes.find(format[code]) == std::string_view::npos) {
      out.push_back(format[at]);
      continue;
    }
    const std::string field = Field(format[code], time);
    out += flag == 1 ? Repadded(field, format[at + 1]) : field;
    at = code;
  }
  return out;
}

}  // namespace bitrate::jinja
