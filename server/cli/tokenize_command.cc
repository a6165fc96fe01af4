// `bitrate tokenize` and `bitrate detokenize`.
#include <CLI/CLI.hpp>

#include "engine/base/json.h"
#include "engine/model_source/text_model.h"
#include "server/cli/json_lines.h"
#include "server/cli/model_options.h"
#include "server/cli/offline_commands.h"

namespace bitrate {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

void Register(CLI::App& app, int* exit_code, const char* name, const char* help, const char* examples,
              int (*run)(const std::string&, CliStreams)) {
  auto model = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(name, help);
  command->footer(examples);
  command->add_option("model", *model, "Model folder, .gguf file, or folder with a tokenizer.json")->required();
  AddJsonFlag(*command);
  command->callback([model, exit_code, run] { *exit_code = run(*model, StandardStreams()); });
}

}  // namespace

int RunTokenize(const std::string& model, CliStreams streams) {
  const StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = LoadTokenizerFromPath(model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status(), streams);
  return ForEachRow(streams, [&](const json& row) -> StatusOr<ordered_json> {
    ASSIGN_OR_RETURN(const std::string text, GetString(row, "text"));
    EncodeOptions options;
    ASSIGN_OR_RETURN(options.add_special_tokens, FindBool(row, "add_special"));
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, (*tokenizer)->Encode(text, options));
    return ordered_json{{"ids", std::move(ids)}};
  });
}

int RunDetokenize(const std::string& model, CliStreams streams) {
  const StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = LoadTokenizerFromPath(model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status(), streams);
  return ForEachRow(streams, [&](const json& row) -> StatusOr<ordered_json> {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, GetIds(row, "ids"));
    ASSIGN_OR_RETURN(const std::optional<bool> skip_special, FindBool(row, "skip_special"));
    ASSIGN_OR_RETURN(std::string text, (*tokenizer)->Decode(ids, skip_special.value_or(false)));
    return ordered_json{{"text", std::move(text)}};
  });
}

void AddTokenizeCommand(CLI::App& app, int* exit_code) {
  Register(
      app, exit_code, "tokenize", "Text to token ids, line by line",
      "Reads {\"text\": ..., \"add_special\": true|false} lines, writes {\"ids\": [...]} lines. Without add_special\n"
      "the tokenizer's own rule decides. Special strings in the text become their ids.\n\n"
      "Examples:\n  echo '{\"text\": \"Hello, world!\"}' | bitrate tokenize ./SmolLM2-135M-Instruct\n"
      "  bitrate tokenize model.gguf < texts.jsonl > ids.jsonl",
      RunTokenize);
  Register(app, exit_code, "detokenize", "Token ids to text, line by line",
           "Reads {\"ids\": [...], \"skip_special\": true|false} lines, writes {\"text\": ...} lines. skip_special is\n"
           "false unless given.\n\n"
           "Example:\n  echo '{\"ids\": [19556, 28, 905, 17]}' | bitrate detokenize model.gguf",
           RunDetokenize);
}

}  // namespace bitrate
