#include "server/settings.h"

#include <fmt/core.h>

namespace bitrate {

std::string Address::ToString() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

}  // namespace bitrate
