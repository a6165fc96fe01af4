// Any template over a fixed conversation, or any template over any JSON after a NUL byte. Looks for crashes, hangs and
// ranges of origin that lie.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/text/chat_template.h"

namespace {

bitrate::RenderInput MakeInput(std::string_view json) {
  bitrate::RenderInput input;
  input.messages = {
      {{"role", "system"}, {"content", "Be brief."}},
      {{"role", "user"}, {"content", "Hi <|im_start|> \xc3\xa9\xe6\x97\xa5"}},
      {{"role", "assistant"},
       {"content", nullptr},
       {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", {{"a", 1.5}}}}}}}}},
  };
  input.tools = {{{"type", "function"}, {"function", {{"name", "get"}, {"parameters", {{"type", "object"}}}}}}};
  input.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"x", "value"}, {"n", 7}};
  std::tm now = {};
  now.tm_year = 124;
  now.tm_mon = 6;
  now.tm_mday = 26;
  now.tm_wday = 5;
  now.tm_yday = 207;
  input.now = now;
  if (!json.empty()) {
    bitrate::StatusOr<nlohmann::ordered_json> parsed = bitrate::ParseOrderedJson(json, "messages");
    if (parsed.ok()) input.messages = *std::move(parsed);
  }
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\0');
  const std::string_view json = split == std::string_view::npos ? std::string_view() : text.substr(split + 1);
  const auto parsed = bitrate::ChatTemplate::Parse(text.substr(0, split));
  if (!parsed.ok()) return 0;
  const auto rendered = (*parsed)->Render(MakeInput(json));
  if (!rendered.ok()) return 0;
  size_t at = 0;
  for (const bitrate::ByteRange& range : rendered->input_ranges) {
    const bool first = &range == rendered->input_ranges.data();
    if (range.begin >= range.end || range.end > rendered->text.size() || (!first && range.begin <= at)) std::abort();
    at = range.end;
  }
  return 0;
}
