// `bitrate template`: conversations to prompts by the model's chat template.
#include <CLI/CLI.hpp>
#include <ctime>

#include "engine/base/json.h"
#include "engine/model_source/text_model.h"
#include "engine/text/chat_template.h"
#include "server/cli/json_lines.h"
#include "server/cli/model_options.h"
#include "server/cli/offline_commands.h"

namespace bitrate {
namespace {

using nlohmann::ordered_json;

// "2024-07-26 09:05:03", a local time without a zone.
StatusOr<std::tm> ParseNow(const ordered_json& value) {
  std::tm parsed{};
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const char* end = strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parsed);
  if (end == nullptr || *end != '\0') {
    return InvalidArgument("now: got \"{}\", wanted a time like \"2024-07-26 09:05:03\"", text);
  }
  const std::time_t seconds = timegm(&parsed);  // as if UTC: fills in the day of the week and of the year
  gmtime_r(&seconds, &parsed);
  return parsed;
}

std::tm LocalNow() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

class TemplateRunner {
 public:
  explicit TemplateRunner(const TextModel& model) : model_(model) {}

  StatusOr<std::string> Render(const std::string& line) {
    ASSIGN_OR_RETURN(const ordered_json row, ParseOrderedJson(line, "input"));
    if (!row.is_object()) return InvalidArgument("input: got {}, wanted a JSON object", row.type_name());
    RenderInput input;
    SetSpecialTokens(input);
    input.now = LocalNow();
    std::optional<std::string> source;
    for (const auto& [key, value] : row.items()) RETURN_IF_ERROR(SetField(key, value, input, source));
    if (!input.messages.is_array())
      return InvalidArgument("messages: got {}, wanted a list", input.messages.type_name());
    if (!source) {
      ASSIGN_OR_RETURN(source, model_.ChatTemplateSource(input.tools.is_array() && !input.tools.empty()));
    }
    ASSIGN_OR_RETURN(const std::shared_ptr<const ChatTemplate> chat_template, Parse(*source));
    ASSIGN_OR_RETURN(Rendered rendered, chat_template->Render(input));
    return std::move(rendered.text);
  }

 private:
  static Status SetField(const std::string& key, const ordered_json& value, RenderInput& input,
                         std::optional<std::string>& source) {
    if (key == "messages") {
      input.messages = value;
    } else if (key == "tools") {
      input.tools = value;
    } else if (key == "documents") {
      input.documents = value;
    } else if (key == "add_generation_prompt") {
      if (!value.is_boolean())
        return InvalidArgument("add_generation_prompt: got {}, wanted a boolean", value.type_name());
      input.add_generation_prompt = value.get<bool>();
    } else if (key == "chat_template") {
      if (value.is_null()) return OkStatus();
      if (!value.is_string()) return InvalidArgument("chat_template: got {}, wanted a string", value.type_name());
      source = value.get<std::string>();
    } else if (key == "now") {
      if (value.is_null()) return OkStatus();
      ASSIGN_OR_RETURN(input.now, ParseNow(value));
    } else {
      input.variables[key] = value;
    }
    return OkStatus();
  }

  void SetSpecialTokens(RenderInput& input) const {
    if (model_.tokenizer() == nullptr) return;
    const Tokenizer& tokenizer = *model_.tokenizer();
    const std::pair<const char*, std::optional<int32_t>> specials[] = {{"bos_token", tokenizer.bos_id()},
                                                                       {"eos_token", tokenizer.eos_id()},
                                                                       {"unk_token", tokenizer.unk_id()},
                                                                       {"pad_token", tokenizer.pad_id()}};
    for (const auto& [name, id] : specials) {
      if (id) input.variables[name] = std::string(tokenizer.TokenText(*id));
    }
  }

  // Rows mostly repeat one template.
  StatusOr<std::shared_ptr<const ChatTemplate>> Parse(const std::string& source) {
    if (parsed_ == nullptr || source != parsed_source_) {
      ASSIGN_OR_RETURN(parsed_, ChatTemplate::Parse(source));
      parsed_source_ = source;
    }
    return parsed_;
  }

  const TextModel& model_;
  std::string parsed_source_;
  std::shared_ptr<const ChatTemplate> parsed_;
};

}  // namespace

int RunTemplate(const std::string& model, CliStreams streams) {
  const StatusOr<TextModel> text_model = TextModel::Load(model);
  if (!text_model.ok()) return ReportError(text_model.status(), streams);
  TemplateRunner runner(*text_model);
  // A row that does not render is an answer, not the end: templates refuse conversations by raising.
  return ForEachLine(streams, [&](const std::string& line) -> StatusOr<ordered_json> {
    StatusOr<std::string> text = runner.Render(line);
    if (!text.ok()) return ordered_json{{"error", std::string(ToStd(text.status().message()))}};
    return ordered_json{{"text", *std::move(text)}};
  });
}

void AddTemplateCommand(CLI::App& app, int* exit_code) {
  auto model = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("template", "Conversations to prompts by the chat template, line by line");
  command->footer(
      "Reads {\"messages\": [...], \"tools\": [...], \"add_generation_prompt\": true|false} lines, writes {\"text\": "
      "...}\n"
      "or {\"error\": ...} lines. Optional: \"chat_template\" (instead of the model's own), \"now\" (the local time "
      "that\n"
      "strftime_now shows, like \"2024-07-26 09:05:03\"); every other field is a variable of the template.\n"
      "add_generation_prompt is true unless given.\n\n"
      "Example:\n  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi!\"}]}' | bitrate template model.gguf");
  command->add_option("model", *model, "Model folder, .gguf file, or folder with a tokenizer.json")->required();
  AddJsonFlag(*command);
  command->callback([model, exit_code] { *exit_code = RunTemplate(*model, StandardStreams()); });
}

}  // namespace bitrate
