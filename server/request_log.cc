#include "server/request_log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "engine/base/json.h"

namespace bitrate {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

class SpdlogLog final : public RequestLog {
 public:
  SpdlogLog(const std::string& level, bool json)
      : json_(json), logger_("bitrate", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()) {
    logger_.set_level(spdlog::level::from_str(level));
    logger_.set_pattern(json ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",%v}" : "%Y-%m-%d %H:%M:%S.%e %^%-5l%$ %v");
    logger_.flush_on(spdlog::level::trace);
  }

  void Write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) override {
    const spdlog::level::level_enum at = ToSpdlog(level);
    if (!logger_.should_log(at)) return;
    const auto name = spdlog::level::to_string_view(at);
    const std::string line =
        json_ ? FormatLogJson({name.data(), name.size()}, event, fields) : FormatLogText(event, fields);
    logger_.log(at, "{}", line);
  }

 private:
  const bool json_;
  spdlog::logger logger_;
};

class NullLog final : public RequestLog {
 public:
  void Write(LogLevel, std::string_view, const std::vector<LogField>&) override {}
};

// JsonToText quotes and escapes, and replaces what is not UTF-8.
std::string Quoted(std::string_view text) { return JsonToText(nlohmann::json(std::string(text))); }

}  // namespace

std::string FormatLogText(std::string_view event, const std::vector<LogField>& fields) {
  std::string line(event);
  for (const LogField& field : fields) {
    const bool plain = std::all_of(field.value.begin(), field.value.end(),
                                   [](unsigned char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\'; });
    line += " " + field.name + "=" + (plain && !field.value.empty() ? field.value : Quoted(field.value));
  }
  return line;
}

std::string FormatLogJson(std::string_view level, std::string_view event, const std::vector<LogField>& fields) {
  std::string line = "\"level\":" + Quoted(level) + ",\"event\":" + Quoted(event);
  for (const LogField& field : fields) {
    // "nan" and "inf" are no JSON.
    const bool number = field.is_number && field.value.find_first_of("ni") == std::string::npos;
    line += ",\"" + field.name + "\":" + (number ? field.value : Quoted(field.value));
  }
  return line;
}

std::unique_ptr<RequestLog> MakeRequestLog(const std::string& level, bool json) {
  return std::make_unique<SpdlogLog>(level, json);
}

std::unique_ptr<RequestLog> MakeNullLog() { return std::make_unique<NullLog>(); }

}  // namespace bitrate
