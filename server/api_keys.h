// The keys that clients must show, and the one comparison of them.
// Thread rule: immutable after Load.
#ifndef BITRATE_SERVER_API_KEYS_H_
#define BITRATE_SERVER_API_KEYS_H_

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

class ApiKeys {
 public:
  ApiKeys() = default;  // no keys: everybody may call
  explicit ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  // One key a line in `file`, or the one in the environment variable `env`; both empty = no keys. NOT_FOUND or
  // INVALID_ARGUMENT for a source without a key.
  static StatusOr<ApiKeys> Load(const std::string& file, const std::string& env);

  bool required() const { return !keys_.empty(); }

  // `authorization` "Bearer KEY", or `x_api_key` the key; empty = not sent. UNAUTHENTICATED otherwise. The time taken
  // depends on the lengths only, not on where a wrong key differs.
  Status Check(std::string_view authorization, std::string_view x_api_key) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_API_KEYS_H_
