#include <vector>

#include "engine/base/limits.h"
#include "engine/text/chat_template.h"

namespace bitrate {
namespace {

// nlohmann's ordered objects look through all keys to add one, so their number is bounded.
constexpr size_t kMaxKeys = 4096;

// Walks the brackets of `text` outside strings; the text need not be JSON, the parser decides that afterwards.
Status CheckShape(std::string_view text, std::string_view what) {
  std::vector<size_t> colons;  // so far in each open bracket
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') colons.push_back(0);
    if ((c == ']' || c == '}') && !colons.empty()) colons.pop_back();
    if (c == ':' && !colons.empty() && ++colons.back() > kMaxKeys) {
      return InvalidArgument("{}: an object has more than {} keys", what, kMaxKeys);
    }
    if (colons.size() > static_cast<size_t>(limits::kMaxJsonDepth)) {
      return InvalidArgument("{}: JSON is nested deeper than {} levels", what, limits::kMaxJsonDepth);
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text, std::string_view what) {
  if (text.size() > limits::kMaxTemplateOutputBytes) {
    return InvalidArgument("{}: {} bytes of JSON, at most {} are allowed", what, text.size(),
                           limits::kMaxTemplateOutputBytes);
  }
  RETURN_IF_ERROR(CheckShape(text, what));
  try {
    return nlohmann::ordered_json::parse(text);
  } catch (const nlohmann::ordered_json::exception& error) {
    return InvalidArgument("{}: {}", what, error.what());
  }
}

}  // namespace bitrate
