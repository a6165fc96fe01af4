// What `bitrate inspect` says of a checkpoint, from its headers: what it is, what is in it, and what would run.
// Thread rule: pure functions.
#ifndef BITRATE_SERVER_CLI_INSPECT_REPORT_H_
#define BITRATE_SERVER_CLI_INSPECT_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/model/model_config.h"

namespace bitrate {

struct TensorTypeCount {
  std::string type;
  int64_t tensors = 0;
  int64_t elements = 0;
  uint64_t bytes = 0;
};

// One precision on this machine.
struct RunPlan {
  std::string precision, activations, kernel, prefill_kernel, isa;
  double weight_bits = 0;  // of the body's first linear
  uint64_t weight_bytes = 0;
  std::vector<std::string> refusals;
  std::string error;  // why it does not run
};

struct InspectReport {
  std::string path, format, architecture;
  std::string unsupported;  // why the model does not run at all; empty = it does
  std::optional<ModelConfig> config;
  std::vector<TensorTypeCount> types;
  int64_t num_tensors = 0, parameters = 0;
  uint64_t bytes = 0;
  double bits_per_weight = 0;  // over matrices, scales included
  std::string tokenizer;       // "tokenizer.json", "gpt2 (pre: smollm)", "none"
  bool has_chat_template = false;
  std::vector<RunPlan> plans;
};

InspectReport MakeInspectReport(const Checkpoint& checkpoint);

nlohmann::ordered_json ToJson(const InspectReport& report);
std::string ToText(const InspectReport& report);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLI_INSPECT_REPORT_H_
