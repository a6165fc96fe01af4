// `bitrate serve`: from flags and a configuration file to a running server, until a signal ends it.
#ifndef BITRATE_SERVER_SERVE_COMMAND_H_
#define BITRATE_SERVER_SERVE_COMMAND_H_

#include <string>

#include "server/config/config.h"

namespace bitrate {

struct ServeFlags {
  std::string config;  // path; empty = flags alone
  ConfigOverrides overrides;
  bool no_reflection = false;
};

// Returns the exit code: 0 drained and stopped, 1 failed, 2 wrong use or bad configuration.
int RunServe(ServeFlags flags);

}  // namespace bitrate

#endif  // BITRATE_SERVER_SERVE_COMMAND_H_
