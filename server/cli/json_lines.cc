#include "server/cli/json_lines.h"

#include <istream>
#include <limits>
#include <ostream>

#include "engine/base/json.h"

namespace bitrate {
namespace {

bool IsBlank(const std::string& line) { return line.find_first_not_of(" \t\r") == std::string::npos; }

}  // namespace

int ReportError(const Status& status, CliStreams streams) {
  streams.out.flush();
  streams.err << "error: " << ToStd(status.message()) << std::endl;
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kPermissionDenied:
    case StatusCode::kDataLoss:
      return 2;
    default:
      return 1;
  }
}

void WriteLine(const nlohmann::ordered_json& value, std::ostream& out) {
  out << value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  out.flush();
}

int ForEachLine(CliStreams streams,
                absl::FunctionRef<StatusOr<nlohmann::ordered_json>(const std::string& line)> handle) {
  std::string line;
  for (int64_t number = 1; std::getline(streams.in, line); ++number) {
    if (IsBlank(line)) continue;
    const StatusOr<nlohmann::ordered_json> answer = handle(line);
    if (!answer.ok()) return ReportError(Annotate(answer.status(), fmt::format("line {}", number)), streams);
    WriteLine(*answer, streams.out);
    if (!streams.out) return ReportError(Internal("line {}: cannot write to standard output", number), streams);
  }
  if (streams.in.bad()) return ReportError(Internal("cannot read standard input"), streams);
  return 0;
}

int ForEachRow(CliStreams streams,
               absl::FunctionRef<StatusOr<nlohmann::ordered_json>(const nlohmann::json& row)> handle) {
  return ForEachLine(streams, [&](const std::string& line) -> StatusOr<nlohmann::ordered_json> {
    ASSIGN_OR_RETURN(const nlohmann::json row, ParseJson(line, "input"));
    if (!row.is_object()) return InvalidArgument("input: got {}, wanted a JSON object", row.type_name());
    return handle(row);
  });
}

StatusOr<std::vector<int32_t>> ParseIds(const nlohmann::json& list, const char* key) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const nlohmann::json& item : list) {
    ASSIGN_OR_RETURN(const int64_t id, JsonToInt(item, key));
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      return InvalidArgument("{}: got {}, wanted a token id", key, id);
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

StatusOr<std::vector<int32_t>> GetIds(const nlohmann::json& row, const char* key) {
  ASSIGN_OR_RETURN(const nlohmann::json* list, GetArray(row, key));
  return ParseIds(*list, key);
}

Status CheckIds(const std::vector<int32_t>& ids, int64_t vocab_size, const char* key) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument("{}: got token id {}, wanted 0 to {}", key, id, vocab_size - 1);
    }
  }
  return OkStatus();
}

}  // namespace bitrate
