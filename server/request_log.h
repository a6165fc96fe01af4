// The server's log: free lines, and one line per request with ids, variant, tokens, times, cost and outcome; never the
// text. As readable text or as JSON objects, on stderr.
//
// Thread rule: thread-safe (spdlog's sinks lock). Owned by main, passed to whoever logs; there is no global logger.
#ifndef BITRATE_SERVER_REQUEST_LOG_H_
#define BITRATE_SERVER_REQUEST_LOG_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };

// A value of a log line: text, or a number as written.
struct LogField {
  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const char* v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(v) {}
  LogField(std::string_view n, int64_t v) : name(n), value(std::to_string(v)), is_number(true) {}
  LogField(std::string_view n, int v) : name(n), value(std::to_string(v)), is_number(true) {}
  LogField(std::string_view n, double v) : name(n), value(fmt::format("{:.6g}", v)), is_number(true) {}
  std::string name;
  std::string value;
  bool is_number = false;
};

class RequestLog {
 public:
  virtual ~RequestLog() = default;
  // `event` is a short fixed phrase; what varies goes into fields.
  virtual void Write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) = 0;
};

// `level` and format as in the configuration.
std::unique_ptr<RequestLog> MakeRequestLog(const std::string& level, bool json);
std::unique_ptr<RequestLog> MakeNullLog();

// One line, without time and level: `event name=value ...` (values quoted where they need it) or a JSON object's
// members. Control characters and quotes of client-chosen values are escaped, so that a line stays one line.
std::string FormatLogText(std::string_view event, const std::vector<LogField>& fields);
std::string FormatLogJson(std::string_view level, std::string_view event, const std::vector<LogField>& fields);

}  // namespace bitrate

#endif  // BITRATE_SERVER_REQUEST_LOG_H_
