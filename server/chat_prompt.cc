// Conversations -> prompts.
#include <utility>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/prompt.h"

namespace bitrate {
namespace {

StatusOr<nlohmann::ordered_json> ParseField(std::string_view text, std::string_view field) {
  auto json = ParseOrderedJson(text, field);
  if (!json.ok()) return FieldError(field, ToStd(json.status().message()));
  if (!json->is_array()) return FieldError(field, "wanted a JSON array");
  return json;
}

StatusOr<RenderInput> MakeInput(const Tokenizer& tokenizer, const ChatRequest& chat) {
  RenderInput input;
  input.add_generation_prompt = chat.add_generation_prompt;
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    const ChatTurn& turn = chat.messages[i];
    nlohmann::ordered_json message = {{"role", turn.role}, {"content", turn.content}};
    if (!turn.name.empty()) message["name"] = turn.name;
    if (!turn.tool_call_id.empty()) message["tool_call_id"] = turn.tool_call_id;
    if (!turn.tool_calls_json.empty()) {
      ASSIGN_OR_RETURN(message["tool_calls"],
                       ParseField(turn.tool_calls_json, fmt::format("chat.messages[{}].tool_calls_json", i)));
    }
    input.messages.push_back(std::move(message));
  }
  if (!chat.tools_json.empty()) {
    ASSIGN_OR_RETURN(input.tools, ParseField(chat.tools_json, "chat.tools_json"));
  }
  for (const auto& [name, value] : chat.kwargs.items()) {
    if (IsServerVariable(name) || name == "messages" || name == "tools" || name == "add_generation_prompt") {
      return FieldError("chat.template_kwargs", fmt::format("\"{}\" is not the client's to set", name));
    }
    input.variables[name] = value;
  }
  const std::pair<const char*, std::optional<int32_t>> specials[] = {{"bos_token", tokenizer.bos_id()},
                                                                     {"eos_token", tokenizer.eos_id()},
                                                                     {"unk_token", tokenizer.unk_id()},
                                                                     {"pad_token", tokenizer.pad_id()}};
  for (const auto& [name, id] : specials) {
    if (id) input.variables[name] = std::string(tokenizer.TokenText(*id));
  }
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (localtime_r(&now, &local) != nullptr) input.now = local;
  return input;
}

}  // namespace

StatusOr<RenderedChat> RenderChat(const ModelResources& model, const ChatRequest& chat) {
  if (model.tokenizer == nullptr || model.chat_template == nullptr) {
    return WithDetail(FailedPrecondition("model \"{}\" has no chat template: send text or token ids", model.name),
                      {.reason = "NO_CHAT_TEMPLATE"});
  }
  ASSIGN_OR_RETURN(const RenderInput input, MakeInput(*model.tokenizer, chat));
  auto rendered = model.chat_template->Render(input);
  if (!rendered.ok()) return FieldError("chat", ToStd(rendered.status().message()), "CHAT_TEMPLATE");
  EncodeOptions options;
  options.add_special_tokens = false;  // the template writes them itself
  options.parse_special = true;
  options.literal = rendered->input_ranges;
  auto ids = model.tokenizer->Encode(rendered->text, options);
  if (!ids.ok()) return FieldError("chat", ToStd(ids.status().message()));
  return RenderedChat{std::move(rendered->text), *std::move(ids)};
}

}  // namespace bitrate
