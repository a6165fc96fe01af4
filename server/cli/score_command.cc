// `bitrate score`: log-probabilities of continuations, split into tokens as lm-eval does.
#include <CLI/CLI.hpp>

#include "engine/base/json.h"
#include "engine/model_source/score_split.h"
#include "engine/model_source/tokenizer_loader.h"
#include "engine/sampling/sampler.h"
#include "server/cli/json_lines.h"
#include "server/cli/model_options.h"
#include "server/cli/offline_commands.h"
#include "server/cli/offline_model.h"

namespace bitrate {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct Scorer {
  std::unique_ptr<OfflineModel> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: ids only
  Status tokenizer_error;                      // why, where text is asked for all the same

  std::optional<int32_t> EosId() const {
    if (tokenizer != nullptr && tokenizer->eos_id()) return tokenizer->eos_id();
    const std::vector<int32_t>& ids = model->config().eos_ids;
    return ids.empty() ? std::nullopt : std::optional<int32_t>(ids.front());
  }
};

StatusOr<ScoreIds> SplitRow(const Scorer& scorer, const json& row) {
  const json* context = FindField(row, "context");
  const json* continuation = FindField(row, "continuation");
  if (continuation == nullptr) return InvalidArgument("continuation: missing, wanted text or a list of ids");
  if (continuation->is_array()) {
    ASSIGN_OR_RETURN(const json* list, FindArray(row, "context"));
    std::vector<int32_t> before;
    if (list != nullptr) {
      ASSIGN_OR_RETURN(before, ParseIds(*list, "context"));
    }
    ASSIGN_OR_RETURN(std::vector<int32_t> after, ParseIds(*continuation, "continuation"));
    RETURN_IF_ERROR(CheckIds(before, scorer.model->config().vocab_size, "context"));
    RETURN_IF_ERROR(CheckIds(after, scorer.model->config().vocab_size, "continuation"));
    return SplitScoreIds(scorer.EosId(), std::move(before), std::move(after));
  }
  ASSIGN_OR_RETURN(std::string text, GetString(row, "continuation"));
  std::string before;
  if (context != nullptr) {
    ASSIGN_OR_RETURN(before, GetString(row, "context"));
  }
  if (scorer.tokenizer == nullptr) {
    if (!scorer.tokenizer_error.ok()) return scorer.tokenizer_error;
    return FailedPrecondition("continuation: got text, and the model has no tokenizer: give ids");
  }
  return SplitScoreText(*scorer.tokenizer, scorer.EosId(), std::move(before), std::move(text));
}

StatusOr<ordered_json> ScoreRow(const Scorer& scorer, const json& row) {
  ASSIGN_OR_RETURN(const ScoreIds split, SplitRow(scorer, row));
  std::vector<int32_t> ids = split.context;
  ids.insert(ids.end(), split.continuation.begin(), split.continuation.end());
  ids.pop_back();  // nothing is asked after the last token
  const auto first = static_cast<int64_t>(split.context.size()) - 1;
  double sum = 0;
  bool is_greedy = true;
  std::vector<double> token_logprobs;
  RETURN_IF_ERROR(scorer.model->Run(ids, first, [&](int64_t position, std::span<const float> logits) -> Status {
    const int32_t id = split.continuation[static_cast<size_t>(position - first)];
    ASSIGN_OR_RETURN(const SampleResult scored, ScoreToken(logits, id, 0));
    sum += static_cast<double>(scored.logprob);
    is_greedy = is_greedy && scored.rank == 1;
    token_logprobs.push_back(static_cast<double>(scored.logprob));
    return OkStatus();
  }));
  return ordered_json{{"logprob", sum}, {"is_greedy", is_greedy}, {"token_logprobs", token_logprobs}};
}

}  // namespace

int RunScore(const ModelFlags& flags, CliStreams streams) {
  StatusOr<std::unique_ptr<OfflineModel>> model = OfflineModel::Load(flags);
  if (!model.ok()) return ReportError(model.status(), streams);
  Scorer scorer;
  scorer.model = *std::move(model);
  StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = LoadTokenizer(scorer.model->checkpoint());
  // A tokenizer that cannot be read matters only to rows of text.
  if (tokenizer.ok()) {
    scorer.tokenizer = *std::move(tokenizer);
  } else {
    scorer.tokenizer_error = tokenizer.status();
  }
  return ForEachRow(streams, [&](const json& row) { return ScoreRow(scorer, row); });
}

void AddScoreCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* command = app.add_subcommand("score", "Log-probabilities of given continuations, line by line");
  command->footer(
      "Reads {\"context\": ..., \"continuation\": ...} lines, both text or both lists of ids; writes {\"logprob\",\n"
      "\"is_greedy\", \"token_logprobs\"} lines. Text is split as lm-eval does: white space at the end of the context\n"
      "moves to the continuation, the whole is encoded, the context's ids are counted off. An empty context is the\n"
      "end-of-sequence token.\n\n"
      "Example:\n  echo '{\"context\": \"The opposite of hot is\", \"continuation\": \" cold\"}' | bitrate score "
      "model.gguf");
  AddModelOptions(*command, flags.get());
  command->callback([flags, exit_code] { *exit_code = RunScore(*flags, StandardStreams()); });
}

}  // namespace bitrate
