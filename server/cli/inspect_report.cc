#include "server/cli/inspect_report.h"

#include <algorithm>

#include "engine/artifact/gguf_metadata.h"
#include "engine/backend/backend.h"
#include "engine/base/json.h"
#include "engine/model/memory_estimate.h"

namespace bitrate {
namespace {

constexpr const char* kPrecisions[] = {"fp32", "bf16",         "fp16", "int8",  "int8-token",
                                       "int4", "int4-g64-sym", "nf4",  "native"};

int64_t Elements(const TensorInfo& info) {
  int64_t count = 1;
  for (const int64_t dim : info.shape) count *= dim;
  return count;
}

void CountTensors(const Checkpoint& checkpoint, InspectReport& report) {
  double matrix_bits = 0, matrix_weights = 0;
  for (const TensorInfo& info : checkpoint.tensors()) {
    const int64_t elements = Elements(info);
    auto type = std::find_if(report.types.begin(), report.types.end(),
                             [&](const TensorTypeCount& t) { return t.type == info.type_name; });
    if (type == report.types.end()) type = report.types.insert(type, {info.type_name, 0, 0, 0});
    ++type->tensors;
    type->elements += elements;
    type->bytes += info.bytes;
    ++report.num_tensors;
    report.bytes += info.bytes;
    if (!info.is_weight) continue;
    report.parameters += elements;
    if (info.shape.size() < 2) continue;
    matrix_bits += 8.0 * static_cast<double>(info.bytes);
    matrix_weights += static_cast<double>(elements);
  }
  report.bits_per_weight = matrix_weights > 0 ? matrix_bits / matrix_weights : 0;
  std::stable_sort(report.types.begin(), report.types.end(),
                   [](const TensorTypeCount& a, const TensorTypeCount& b) { return a.bytes > b.bytes; });
}

void DescribeText(const Checkpoint& checkpoint, InspectReport& report) {
  report.tokenizer = "none";
  report.has_chat_template = !checkpoint.chat_template_jinja().empty();
  if (const GgufMetadata* metadata = checkpoint.gguf_metadata(); metadata != nullptr) {
    report.has_chat_template = metadata->Has("tokenizer.chat_template");
    const StatusOr<std::string> model = metadata->GetString("tokenizer.ggml.model");
    const StatusOr<std::string> pre = metadata->GetStringOr("tokenizer.ggml.pre", "");
    if (model.ok()) report.tokenizer = pre.ok() && !pre->empty() ? fmt::format("{} (pre: {})", *model, *pre) : *model;
    return;
  }
  if (!checkpoint.tokenizer_json().empty()) report.tokenizer = "tokenizer.json";
  if (const std::string& text = checkpoint.tokenizer_config_json(); !text.empty()) {
    const StatusOr<nlohmann::json> config = ParseJson(text, "tokenizer_config.json");
    if (config.ok() && FindField(*config, "chat_template") != nullptr) report.has_chat_template = true;
  }
}

// The first body matrix: its storage decides what plain int4 keeps.
const TensorInfo* FirstBodyMatrix(const Checkpoint& checkpoint) {
  for (const TensorInfo& info : checkpoint.tensors()) {
    if (info.is_weight && info.canonical_name == "model.layers.0.self_attn.q_proj.weight") return &info;
  }
  return nullptr;
}

// Prepares one panel of zeros as the first body matrix would be: it names the kernels without touching weights.
StatusOr<LinearInfo> ProbeKernel(const Checkpoint& checkpoint, const ModelConfig& config, const Precision& precision,
                                 const Backend& backend) {
  constexpr int64_t kRows = 64;
  WeightMatrix matrix;
  matrix.name = "probe";
  if (const TensorInfo* body = FirstBodyMatrix(checkpoint); body != nullptr) {
    matrix.format = body->format;
    matrix.coded = body->coded;
  }
  matrix.n = kRows;
  matrix.k = config.hidden_size;
  if (matrix.coded == nullptr && matrix.k % GetQuantFormat(matrix.format).block_elements != 0) {
    return InvalidArgument("rows of {} weights are not whole {} blocks", matrix.k, matrix.format_name());
  }
  const std::vector<std::byte> zeros(static_cast<size_t>(kRows * matrix.row_bytes()));
  matrix.data = zeros;
  LinearSpec spec;
  spec.parts = {&matrix, 1};
  spec.precision = precision;
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context = {&parallel, &scratch};
  ASSIGN_OR_RETURN(const std::shared_ptr<const LinearOp> op, backend.PrepareLinear(spec, context));
  return op->info();
}

RunPlan MakePlan(const Checkpoint& checkpoint, const ModelConfig& config, const char* name, const Backend& backend) {
  RunPlan plan;
  plan.precision = name;
  const StatusOr<Precision> precision = Precision::Parse(name);
  if (!precision.ok()) {
    plan.error = std::string(ToStd(precision.status().message()));
    return plan;
  }
  plan.activations = std::string(precision->ActivationName());
  plan.weight_bytes = EstimateWeightBytes(checkpoint, config, *precision);
  const StatusOr<LinearInfo> info = ProbeKernel(checkpoint, config, *precision, backend);
  if (!info.ok()) {
    plan.error = std::string(ToStd(info.status().message()));
    return plan;
  }
  plan.kernel = info->kernel;
  plan.prefill_kernel = info->prefill_kernel;
  plan.isa = info->isa;
  plan.weight_bits = info->weight_bits;
  plan.refusals = info->refusals;
  return plan;
}

}  // namespace

InspectReport MakeInspectReport(const Checkpoint& checkpoint) {
  InspectReport report;
  report.path = checkpoint.path();
  report.format = checkpoint.kind() == Checkpoint::Kind::kGguf ? "GGUF" : "Hugging Face safetensors";
  CountTensors(checkpoint, report);
  DescribeText(checkpoint, report);
  const StatusOr<ModelConfig> config = ParseModelConfig(checkpoint.config());
  if (!config.ok()) {
    report.unsupported = std::string(ToStd(config.status().message()));
    const StatusOr<std::optional<std::string>> type = FindString(checkpoint.config(), "model_type");
    if (type.ok() && *type) report.architecture = **type;
    return report;
  }
  report.config = *config;
  report.architecture = config->architecture;
  const StatusOr<std::unique_ptr<Backend>> backend = MakeCpuBackend();
  if (!backend.ok()) {
    report.unsupported = std::string(ToStd(backend.status().message()));
    return report;
  }
  for (const char* name : kPrecisions) report.plans.push_back(MakePlan(checkpoint, *config, name, **backend));
  return report;
}

}  // namespace bitrate
