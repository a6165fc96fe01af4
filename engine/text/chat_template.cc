#include "engine/text/chat_template.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "engine/base/limits.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/from_json.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/lexer.h"

namespace bitrate {
namespace {

using Json = nlohmann::ordered_json;

struct Variable {
  const Json* json;
  bool input;
};

// What the caller passes by a field of its own wins over a variable of the same name.
std::map<std::string_view, Variable> Variables(const RenderInput& input, const Json& add_generation_prompt) {
  std::map<std::string_view, Variable> variables = {{"messages", {&input.messages, true}},
                                                    {"tools", {&input.tools, true}},
                                                    {"documents", {&input.documents, true}},
                                                    {"add_generation_prompt", {&add_generation_prompt, false}}};
  if (const auto* object = input.variables.get_ptr<const Json::object_t*>()) {
    for (const auto& [name, value] : *object) variables.try_emplace(name, Variable{&value, !IsServerVariable(name)});
  }
  return variables;
}

Status FillContext(jinja::Runtime& runtime, const jinja::Template& parsed, const RenderInput& input,
                   const Json& add_generation_prompt, std::vector<jinja::Value>* context) {
  const std::map<std::string_view, Variable> variables = Variables(input, add_generation_prompt);
  for (size_t i = 0; i < parsed.names.size(); ++i) {
    RETURN_IF_ERROR(runtime.Step());
    const std::string_view name = parsed.names[i];
    if (const auto variable = variables.find(name); variable != variables.end()) {
      StatusOr<jinja::Value> value = jinja::FromJson(runtime, *variable->second.json, variable->second.input);
      if (!value.ok()) return Annotate(value.status(), name);
      (*context)[i] = *value;
      continue;
    }
    const std::optional<jinja::Function> function = jinja::FindFunction(name);
    if (!function.has_value() || (*function == jinja::Function::kStrftimeNow && !input.now.has_value())) continue;
    (*context)[i].kind = jinja::Kind::kFunction;
    (*context)[i].function = *function;
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Parse(std::string_view source) {
  ASSIGN_OR_RETURN(std::shared_ptr<const jinja::Template> parsed, jinja::ParseTemplate(source));
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(parsed)));
}

bool ChatTemplate::Mentions(std::string_view variable) const {
  return std::find(parsed_->names.begin(), parsed_->names.end(), variable) != parsed_->names.end();
}

StatusOr<Rendered> ChatTemplate::Render(const RenderInput& input) const {
  const Json add_generation_prompt = input.add_generation_prompt;
  jinja::Runtime conversion;  // holds the variables, on a budget of their own
  std::vector<jinja::Value> context(parsed_->names.size());
  RETURN_IF_ERROR(FillContext(conversion, *parsed_, input, add_generation_prompt, &context));
  jinja::Interpreter interpreter(*parsed_, std::move(context), input.now);
  jinja::TextBuilder out;
  const Status status = interpreter.Run(&out);
  if (!status.ok()) {
    if (interpreter.raised()) return status;
    return jinja::TemplateError(interpreter.line(), ToStd(status.message()));
  }
  return Rendered{out.TakeText(), out.TakeRanges()};
}

bool IsServerVariable(std::string_view name) {
  static constexpr std::string_view kNames[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                                "sep_token", "cls_token", "mask_token"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

StatusOr<std::string> SelectChatTemplate(const nlohmann::json& tokenizer_config, bool has_tools) {
  const auto found = tokenizer_config.find("chat_template");
  if (!tokenizer_config.is_object() || found == tokenizer_config.end() || found->is_null()) {
    return NotFound("tokenizer_config.json has no chat_template");
  }
  if (found->is_string()) return *found->get_ptr<const std::string*>();
  if (!found->is_array())
    return InvalidArgument("chat_template must be a string or a list, got {}", found->type_name());
  const std::string* fallback = nullptr;
  for (const nlohmann::json& entry : *found) {
    const auto name = entry.find("name");
    const auto text = entry.find("template");
    if (!entry.is_object() || name == entry.end() || !name->is_string() || text == entry.end() || !text->is_string()) {
      return InvalidArgument("chat_template: each entry needs the strings name and template");
    }
    const std::string& value = *text->get_ptr<const std::string*>();
    if (has_tools && *name == "tool_use") return value;
    if (*name == "default" || found->size() == 1) fallback = &value;
  }
  if (fallback == nullptr) return NotFound("chat_template has no entry named default");
  return *fallback;
}

}  // namespace bitrate
