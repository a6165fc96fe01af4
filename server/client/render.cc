#include "server/client/render.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

namespace bitrate {
namespace {

size_t NumCharacters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string ReasonName(v1::RouteReason reason) {
  std::string name = v1::RouteReason_Name(reason).substr(sizeof("ROUTE_REASON_") - 1);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

std::string ToJsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : "{}";
}

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

double Amount(const v1::Cost& cost) { return static_cast<double>(cost.units()) + cost.nanos() * 1e-9; }

std::string HumanBytes(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? fmt::format("{:.1f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

std::string OneLine(const std::string& text, size_t width) {
  std::string line;
  size_t characters = 0;
  for (size_t i = 0; i < text.size();) {
    size_t next = i + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0) == 0x80) ++next;
    if (characters + 1 == width && next < text.size()) return line + "…";
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\n') {
      line += "⏎";
    } else if (c < 0x20 || c == 0x7f) {
      line += ' ';  // no control character of a model's text reaches the terminal
    } else {
      line.append(text, i, next - i);
    }
    ++characters;
    i = next;
  }
  return line;
}

std::string Table::ToString() const {
  std::vector<size_t> widths(left_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], NumCharacters(row[c]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - NumCharacters(row[c]), ' ');
      if (c > 0) line += "  ";
      line += left_[c] ? row[c] + padding : padding + row[c];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

double DecodeRate(const v1::Usage& usage, const v1::Timing& timing) {
  const double seconds = Seconds(timing.decode());
  return usage.completion_tokens() > 1 && seconds > 0 ? (usage.completion_tokens() - 1) / seconds : 0;
}

void PrintSummary(const v1::Route& route, const v1::Usage& usage, const v1::Timing& timing, const v1::Cost& cost) {
  std::string line = fmt::format("[{}:{} ({}), {}] {} prompt", route.model(), route.variant(), route.precision(),
                                 ReasonName(route.reason()), usage.prompt_tokens());
  if (usage.cached_tokens() > 0) line += fmt::format(" ({} cached)", usage.cached_tokens());
  line += fmt::format(" + {} tokens", usage.completion_tokens());
  if (timing.has_time_to_first_token()) {
    line += fmt::format(", TTFT {:.0f} ms", Seconds(timing.time_to_first_token()) * 1e3);
  }
  if (const double rate = DecodeRate(usage, timing); rate > 0) line += fmt::format(", {:.1f} tok/s", rate);
  line += fmt::format(", {:.3f} device-s", cost.device_seconds());
  if (!cost.currency_code().empty()) line += fmt::format(", {} {:.9f}", cost.currency_code(), Amount(cost));
  fmt::print(stderr, "{}\n", line);
}

}  // namespace bitrate
