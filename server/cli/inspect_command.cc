// `bitrate inspect`: what a checkpoint is, from its headers; or one tensor of it, decoded.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <ostream>

#include "engine/artifact/safetensors_writer.h"
#include "server/cli/inspect_report.h"
#include "server/cli/json_lines.h"
#include "server/cli/offline_commands.h"

namespace bitrate {
namespace {

using nlohmann::ordered_json;

std::string ShapeText(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// `--tensor`: statistics, and the values to a file where one is named.
StatusOr<ordered_json> InspectTensor(const Checkpoint& checkpoint, const InspectFlags& flags) {
  std::vector<int64_t> shape;
  ASSIGN_OR_RETURN(const std::vector<float> values, checkpoint.Decode(flags.tensor, &shape));
  if (!flags.out.empty()) {
    NamedTensor tensor;
    tensor.name = flags.tensor;
    tensor.shape = shape;
    tensor.data = std::as_bytes(std::span<const float>(values));
    RETURN_IF_ERROR(WriteSafetensors(flags.out, {&tensor, 1}));
  }
  double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
  for (const float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
    low = std::min<double>(low, v);
    high = std::max<double>(high, v);
  }
  const auto count = static_cast<double>(std::max<size_t>(values.size(), 1));
  std::string type;
  for (const TensorInfo& info : checkpoint.tensors()) {
    if (info.name == flags.tensor || info.canonical_name == flags.tensor) type = info.type_name;
  }
  ordered_json out = {{"tensor", flags.tensor}, {"type", type}, {"shape", shape}};
  if (!values.empty()) {
    out.update({{"min", low}, {"max", high}, {"mean", sum / count}, {"rms", std::sqrt(squares / count)}});
  }
  if (!flags.out.empty()) out["file"] = flags.out;
  return out;
}

void PrintTensor(const ordered_json& tensor, std::ostream& out) {
  out << fmt::format("{}  {} {}\n", tensor["tensor"].get<std::string>(), tensor["type"].get<std::string>(),
                     ShapeText(tensor["shape"].get<std::vector<int64_t>>()));
  if (tensor.contains("min")) {
    out << fmt::format("min {:g}, max {:g}, mean {:g}, rms {:g}\n", tensor["min"].get<double>(),
                       tensor["max"].get<double>(), tensor["mean"].get<double>(), tensor["rms"].get<double>());
  }
  if (tensor.contains("file")) out << fmt::format("written to {}\n", tensor["file"].get<std::string>());
}

}  // namespace

int RunInspect(const InspectFlags& flags, CliStreams streams) {
  if (!flags.out.empty() && flags.tensor.empty()) {
    return ReportError(InvalidArgument("--out: needs --tensor NAME"), streams);
  }
  const StatusOr<std::shared_ptr<const Checkpoint>> checkpoint = Checkpoint::Open(flags.model);
  if (!checkpoint.ok()) return ReportError(checkpoint.status(), streams);
  if (!flags.tensor.empty()) {
    const StatusOr<ordered_json> tensor = InspectTensor(**checkpoint, flags);
    if (!tensor.ok()) return ReportError(tensor.status(), streams);
    if (flags.json) {
      WriteLine(*tensor, streams.out);
    } else {
      PrintTensor(*tensor, streams.out);
    }
    return 0;
  }
  const InspectReport report = MakeInspectReport(**checkpoint);
  if (flags.json) {
    WriteLine(ToJson(report), streams.out);
  } else {
    streams.out << ToText(report);
  }
  streams.out.flush();
  return 0;
}

void AddInspectCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "What a checkpoint is and what would run, from its headers");
  command->footer(
      "--tensor takes a name in the file (values as stored) or, for GGUF, the Hugging Face name too (rows of Q and K "
      "in\n"
      "Hugging Face order); --out writes it as float32 to a safetensors file.\n\n"
      "Examples:\n  bitrate inspect model.gguf\n  bitrate inspect ./SmolLM2-135M-Instruct --json\n"
      "  bitrate inspect model.gguf --tensor blk.0.attn_q.weight --out q.safetensors");
  command->add_option("model", flags->model, "Model folder or .gguf file")->required();
  command->add_option("--tensor", flags->tensor, "Decode this tensor instead");
  command->add_option("--out", flags->out, "File for the tensor's values");
  command->add_flag("--json", flags->json, "One JSON object");
  command->callback([flags, exit_code] { *exit_code = RunInspect(*flags, StandardStreams()); });
}

}  // namespace bitrate
