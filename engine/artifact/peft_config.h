// adapter_config.json of a PEFT LoRA adapter: which modules it changes, at which rank and by which factor.
//
// Nothing is skipped: a field that would change the answer and is not supported is FAILED_PRECONDITION by its name, and
// so is an unknown field with a value. Module names are those of the base model, "model.layers.0.self_attn.q_proj".
// Patterns are matched as PEFT matches them: target and exclude lists by name or ".suffix", target and exclude strings
// as a regex on the whole name, rank and alpha keys as (.*\.)?(KEY)$, the first in the file's order winning.
//
// Thread rule: immutable after parsing; shared. Errors: INVALID_ARGUMENT naming the field (malformed, out of range, a
// pattern that does not compile), RESOURCE_EXHAUSTED over a limit, in a match too.
// Source: PEFT's LoraConfig and its rules for target modules, reference formats (quantization 1.6).
#ifndef BITRATE_ENGINE_ARTIFACT_PEFT_CONFIG_H_
#define BITRATE_ENGINE_ARTIFACT_PEFT_CONFIG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace bitrate {

class PeftConfig {
 public:
  static StatusOr<PeftConfig> Parse(std::string_view json);

  // True where the adapter changes the module.
  StatusOr<bool> Targets(std::string_view module) const;
  StatusOr<int64_t> RankOf(std::string_view module) const;
  // alpha / r, or alpha / sqrt(r) with use_rslora.
  StatusOr<float> ScaleOf(std::string_view module) const;
  // Every lora_B has a bias.
  bool has_bias() const;

  struct Fields;  // peft_config.cc

 private:
  explicit PeftConfig(std::shared_ptr<const Fields> fields) : fields_(std::move(fields)) {}
  std::shared_ptr<const Fields> fields_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_PEFT_CONFIG_H_
