// Makes safetensors bytes for tests from header text and data.
#ifndef BITRATE_TESTS_UNIT_ARTIFACT_SAFETENSORS_BUILDER_H_
#define BITRATE_TESTS_UNIT_ARTIFACT_SAFETENSORS_BUILDER_H_

#include <fmt/core.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bitrate {

inline std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(sizeof(length), '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  return out.append(header).append(data);
}

// One tensor's entry: "name":{...}.
inline std::string SafetensorsEntry(std::string_view name, std::string_view dtype, std::string_view shape,
                                    std::string_view offsets) {
  return fmt::format("\"{}\":{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":{}}}", name, dtype, shape, offsets);
}

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_ARTIFACT_SAFETENSORS_BUILDER_H_
