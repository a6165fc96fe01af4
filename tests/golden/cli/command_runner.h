// Runs an offline command on text instead of the standard streams.
#ifndef BITRATE_TESTS_GOLDEN_CLI_COMMAND_RUNNER_H_
#define BITRATE_TESTS_GOLDEN_CLI_COMMAND_RUNNER_H_

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "server/cli/offline_commands.h"

namespace bitrate::golden {

struct CommandResult {
  int exit_code = 0;
  std::vector<nlohmann::json> lines;  // of the output
  std::string output, error;
};

template <typename Command>
CommandResult RunCommand(const std::string& input, Command command) {
  std::istringstream in(input);
  std::ostringstream out, err;
  CommandResult result;
  result.exit_code = command(CliStreams{in, out, err});
  result.output = out.str();
  result.error = err.str();
  std::istringstream lines(result.output);
  for (std::string line; std::getline(lines, line);) {
    result.lines.push_back(nlohmann::json::parse(line, nullptr, false));
  }
  return result;
}

inline std::string GoldenPath(const std::string& name) { return std::string(BITRATE_GOLDEN_DIR) + "/" + name; }

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Key order is kept: templates see it.
inline std::vector<nlohmann::ordered_json> ReadJsonLines(const std::string& path) {
  std::vector<nlohmann::ordered_json> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::ordered_json::parse(line));
  return rows;
}

}  // namespace bitrate::golden

#endif  // BITRATE_TESTS_GOLDEN_CLI_COMMAND_RUNNER_H_
