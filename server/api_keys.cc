#include "server/api_keys.h"

#include <cstdlib>
#include <fstream>

#include "server/api_error.h"

namespace bitrate {
namespace {

bool SameBytes(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference = static_cast<unsigned char>(difference | (a[i] ^ other));
  }
  return difference == 0;
}

std::string Trim(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

StatusOr<ApiKeys> ApiKeys::Load(const std::string& file, const std::string& env) {
  std::vector<std::string> keys;
  if (!env.empty()) {
    const char* value = std::getenv(env.c_str());
    if (value == nullptr || *value == '\0') return NotFound("auth.api_key_env: the environment has no \"{}\"", env);
    keys.emplace_back(value);
  } else if (!file.empty()) {
    std::ifstream in(file);
    if (!in) return NotFound("auth.api_key_file: cannot read {}", file);
    for (std::string line; std::getline(in, line);) {
      if (std::string key = Trim(line); !key.empty()) keys.push_back(std::move(key));
    }
    if (keys.empty()) return InvalidArgument("auth.api_key_file: {} has no key", file);
  }
  return ApiKeys(std::move(keys));
}

Status ApiKeys::Check(std::string_view authorization, std::string_view x_api_key) const {
  if (keys_.empty()) return OkStatus();
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view shown = x_api_key;
  if (authorization.substr(0, kBearer.size()) == kBearer) shown = authorization.substr(kBearer.size());
  bool known = false;
  for (const std::string& key : keys_) known |= SameBytes(shown, key);  // all of them, whichever matches
  if (known && !shown.empty()) return OkStatus();
  return WithDetail(
      MakeStatus(StatusCode::kUnauthenticated, shown.empty() ? "an API key is needed" : "unknown API key"),
      {.reason = shown.empty() ? "API_KEY_MISSING" : "API_KEY_INVALID"});
}

}  // namespace bitrate
