// A PEFT LoRA adapter on disk: a folder with adapter_config.json and adapter_model.safetensors, read whole as f32.
// What it says holds for no model yet: engine/model/adapter.h checks it against one.
//
// Thread rule: a value; immutable once read. Shapes: lora_A [r, K], lora_B [N, r], its bias [N].
// Errors: NOT_FOUND for a missing file; INVALID_ARGUMENT or DATA_LOSS naming file, tensor or field for anything
// malformed: a pair that is not whole, ranks that disagree with the config, infinities and NaN; FAILED_PRECONDITION for
// tensors and fields that are honest but unsupported (DoRA, whole modules, embeddings): nothing is skipped.
#ifndef BITRATE_ENGINE_ARTIFACT_PEFT_ADAPTER_H_
#define BITRATE_ENGINE_ARTIFACT_PEFT_ADAPTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/artifact/peft_config.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/base/status.h"

namespace bitrate {

// y += scale * (B (A x) + bias)
struct LoraModule {
  std::string name;  // of the base model's module: "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;
  int64_t k = 0, n = 0;  // inputs and outputs
  float scale = 0;
  std::vector<float> a;     // [rank, k]
  std::vector<float> b;     // [n, rank]
  std::vector<float> bias;  // [n] or empty
};

struct PeftAdapter {
  std::string path;  // for messages
  PeftConfig config;
  std::vector<LoraModule> modules;  // by name, ascending; not empty
};

StatusOr<PeftAdapter> ReadPeftAdapter(const std::string& folder);

// The same of parts, for tests and fuzzing. Errors name `path`.
StatusOr<PeftAdapter> MakePeftAdapter(const std::string& path, std::string_view config_json,
                                      const SafetensorsFile& tensors);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_PEFT_ADAPTER_H_
