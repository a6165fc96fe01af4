// `bitrate logits`: full logits of prompts through the serving kernels, one safetensors file a line.
#include <CLI/CLI.hpp>
#include <filesystem>

#include "engine/artifact/safetensors_writer.h"
#include "server/cli/json_lines.h"
#include "server/cli/model_options.h"
#include "server/cli/offline_commands.h"
#include "server/cli/offline_model.h"

namespace bitrate {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return InvalidArgument("--out {}: {}", path, error.message());
  if (!std::filesystem::is_directory(path, error)) return InvalidArgument("--out {}: not a folder", path);
  return OkStatus();
}

StatusOr<ordered_json> WriteLogits(OfflineModel& model, const std::vector<int32_t>& ids, const std::string& path) {
  std::vector<float> logits;  // [T, V]
  try {
    logits.reserve(ids.size() * static_cast<size_t>(model.config().vocab_size));
  } catch (const std::exception&) {
    return ResourceExhausted("no memory for the logits of {} tokens", ids.size());
  }
  RETURN_IF_ERROR(model.Run(ids, 0, [&](int64_t, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
    return OkStatus();
  }));
  NamedTensor tensor;
  tensor.name = "logits";
  tensor.shape = {static_cast<int64_t>(ids.size()), model.config().vocab_size};
  tensor.data = std::as_bytes(std::span<const float>(logits));
  RETURN_IF_ERROR(WriteSafetensors(path, {&tensor, 1}));
  return ordered_json{{"file", path}, {"shape", tensor.shape}};
}

}  // namespace

int RunLogits(const ModelFlags& flags, const std::string& out_dir, CliStreams streams) {
  if (const Status made = MakeFolder(out_dir); !made.ok()) return ReportError(made, streams);
  const StatusOr<std::unique_ptr<OfflineModel>> model = OfflineModel::Load(flags);
  if (!model.ok()) return ReportError(model.status(), streams);
  int64_t number = 0;
  return ForEachRow(streams, [&](const json& row) -> StatusOr<ordered_json> {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, GetIds(row, "ids"));
    // Checked before the buffer is sized by it.
    if (static_cast<int64_t>(ids.size()) > (*model)->config().max_positions) {
      return InvalidArgument("ids: got {} tokens, wanted at most the context of {}", ids.size(),
                             (*model)->config().max_positions);
    }
    const std::string file = fmt::format("{:06}.safetensors", number++);
    return WriteLogits(**model, ids, (std::filesystem::path(out_dir) / file).string());
  });
}

void AddLogitsCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ModelFlags>();
  auto out_dir = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("logits", "Logits of prompts through the serving kernels, to files");
  command->footer(
      "Reads {\"ids\": [...]} lines and writes DIR/000000.safetensors, DIR/000001.safetensors ... in line order, each\n"
      "with `logits` [T, V] f32; for each a {\"file\", \"shape\"} line. Needs no tokenizer.\n\n"
      "Example:\n  echo '{\"ids\": [504, 3575, 282, 4649, 314]}' | bitrate logits model.gguf --precision int4 --out "
      "out");
  AddModelOptions(*command, flags.get());
  command->add_option("--out", *out_dir, "Folder for the files; made if it is not there")->required();
  command->callback([flags, out_dir, exit_code] { *exit_code = RunLogits(*flags, *out_dir, StandardStreams()); });
}

}  // namespace bitrate
