// The configuration: file and flags -> a checked ServerSettings. Everything that is wrong is reported at once, each as
// "file:line: path: what, got, wanted".
#ifndef BITRATE_SERVER_CONFIG_CONFIG_H_
#define BITRATE_SERVER_CONFIG_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "server/settings.h"

namespace bitrate {

// What the command line may set; a set field wins over the file.
struct ConfigOverrides {
  std::optional<std::string> model_path;  // replaces the file's models by this one, named after the file or folder
  std::optional<std::string> model_name;
  std::vector<std::string> variants;  // precisions, or name=precision
  std::vector<std::string> adapters;  // name=path, of the one model
  std::optional<std::string> grpc, admin, metrics;
  std::optional<int> threads;
  std::optional<std::string> log_level, log_format;
  std::optional<double> drain_timeout_seconds;
  std::optional<std::string> memory_budget, kv_bytes;  // sizes; kv_bytes for every variant
  std::optional<bool> reflection;
  std::optional<std::string> packed_cache;  // packed_cache.dir
};

// `text` is the file's content and `file` its name in messages. INVALID_ARGUMENT with all problems, one a line.
StatusOr<ServerSettings> ParseConfig(std::string_view text, const std::string& file, const ConfigOverrides& overrides);

// Reads the file; an empty path means flags alone.
StatusOr<ServerSettings> LoadConfig(const std::string& path, const ConfigOverrides& overrides);

// "host:port", "[::1]:port"; nullopt when malformed. The port may be 0.
std::optional<Address> ParseAddress(std::string_view text);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CONFIG_CONFIG_H_
