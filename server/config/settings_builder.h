// The checks of a parsed configuration: ranges, names, references, and defaults. Used by config.cc only.
#ifndef BITRATE_SERVER_CONFIG_SETTINGS_BUILDER_H_
#define BITRATE_SERVER_CONFIG_SETTINGS_BUILDER_H_

#include <vector>

#include "server/config/yaml_reader.h"
#include "server/settings.h"

namespace bitrate::config::v1 {
class ServerConfig;
}

namespace bitrate {

// Appends to `problems` what is wrong; the result is meaningful only when nothing was appended.
ServerSettings BuildSettings(const config::v1::ServerConfig& config, const ConfigSource& source,
                             std::vector<ConfigProblem>* problems);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CONFIG_SETTINGS_BUILDER_H_
