// Chat templates: from messages to the prompt a model was trained on, by a bounded Jinja2 that behaves as Hugging Face
// transformers runs it (trim_blocks, lstrip_blocks, loop controls, generation blocks, its tojson, raise_exception and
// strftime_now). The interpreter is in engine/text/jinja.
//
// What a client wrote stays text: Rendered says which bytes came from the request, so that a tokenizer can refuse to
// see special tokens in them.
//
// Thread rule: a ChatTemplate is immutable; Render from any thread. Bounds: limits::kMaxTemplate*; 256 KiB of stack
// suffice. Errors: INVALID_ARGUMENT with the template's line; the message of the template's own raise_exception is
// passed on as it is. Nothing throws.
#ifndef BITRATE_ENGINE_TEXT_CHAT_TEMPLATE_H_
#define BITRATE_ENGINE_TEXT_CHAT_TEMPLATE_H_

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/byte_range.h"

namespace bitrate {

namespace jinja {
struct Template;
}

struct RenderInput {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools;      // null: None
  nlohmann::ordered_json documents;  // null: None
  bool add_generation_prompt = true;
  // Further variables by name. bos_token, eos_token and the other special tokens (IsServerVariable) come from the
  // model and count as the template's text: a server must not let a client set them. All others count as the client's.
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  // What strftime_now shows, with tm_wday and tm_yday filled in. Unset: the template has no strftime_now, which
  // templates ask for with `is defined`.
  std::optional<std::tm> now;
};

struct Rendered {
  std::string text;
  // Which bytes of `text` came from messages, tools, documents or a client's variables: sorted, disjoint, not touching.
  std::vector<ByteRange> input_ranges;
};

class ChatTemplate {
 public:
  // `source` may use any line ends. Fails for more than limits::kMaxTemplateBytes, wrong syntax, and filters or tests
  // the engine does not have (unless an `if` guards them).
  static StatusOr<std::shared_ptr<const ChatTemplate>> Parse(std::string_view source);

  // Fails where Python would raise, and when the rendering exceeds a bound.
  StatusOr<Rendered> Render(const RenderInput& input) const;

  // Whether the template mentions a variable of this name, e.g. "tools" or "enable_thinking".
  bool Mentions(std::string_view variable) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Template> parsed) : parsed_(std::move(parsed)) {}

  const std::shared_ptr<const jinja::Template> parsed_;
};

// bos_token, eos_token, unk_token, pad_token, sep_token, cls_token, mask_token.
bool IsServerVariable(std::string_view name);

// The chat_template of a tokenizer_config.json: a string, or a list of {name, template} of which "tool_use" is taken
// when there are tools and it exists, otherwise "default" (or the only one). NOT_FOUND when the file has none.
StatusOr<std::string> SelectChatTemplate(const nlohmann::json& tokenizer_config, bool has_tools);

// JSON whose objects keep their order, as messages and tools need. Bounded by limits::kMaxJsonDepth, and in the number
// of keys of one object, which the underlying map searches one by one. `what` names the text in errors.
StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text, std::string_view what);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TEXT_CHAT_TEMPLATE_H_
