// JSON lines in, JSON lines out: the shape of the offline commands. Blank lines are skipped; output keeps the order of
// input and is flushed line by line, so that a program at the other end of two pipes can wait for each answer.
#ifndef BITRATE_SERVER_CLI_JSON_LINES_H_
#define BITRATE_SERVER_CLI_JSON_LINES_H_

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "server/cli/offline_commands.h"

namespace bitrate {

// 2 for what the input or its use causes, 1 for anything else; prints "error: MESSAGE".
int ReportError(const Status& status, CliStreams streams);

// Calls `handle` for each line; stops at the first error, which is reported with the number of its line.
int ForEachLine(CliStreams streams,
                absl::FunctionRef<StatusOr<nlohmann::ordered_json>(const std::string& line)> handle);

// The same with lines parsed as JSON objects.
int ForEachRow(CliStreams streams,
               absl::FunctionRef<StatusOr<nlohmann::ordered_json>(const nlohmann::json& row)> handle);

// One compact line. Invalid UTF-8 becomes U+FFFD.
void WriteLine(const nlohmann::ordered_json& value, std::ostream& out);

// A field that holds a list of token ids. INVALID_ARGUMENT for anything that is not an int32.
StatusOr<std::vector<int32_t>> GetIds(const nlohmann::json& row, const char* key);
StatusOr<std::vector<int32_t>> ParseIds(const nlohmann::json& list, const char* key);

// INVALID_ARGUMENT naming the first id outside [0, vocab_size).
Status CheckIds(const std::vector<int32_t>& ids, int64_t vocab_size, const char* key);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLI_JSON_LINES_H_
