// A DecoderModel with its KV cache and workspace: the StepModel of a real instance.
// Thread rule: one engine thread.
#ifndef BITRATE_ENGINE_RUNTIME_DECODER_STEP_MODEL_H_
#define BITRATE_ENGINE_RUNTIME_DECODER_STEP_MODEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv/kv_cache.h"
#include "engine/model/decoder_model.h"
#include "engine/runtime/model_instance.h"
#include "engine/runtime/step_model.h"

namespace bitrate {

class DecoderStepModel final : public StepModel {
 public:
  // KV blocks for options.kv_bytes. RESOURCE_EXHAUSTED when an explicit budget does not hold one full context; the
  // default budget shortens the context instead.
  static StatusOr<std::unique_ptr<DecoderStepModel>> Create(std::shared_ptr<const DecoderModel> model,
                                                            const InstanceOptions& options);

  StepModelInfo info() const override;
  Status Forward(Parallel& parallel, const StepInput& input) override;
  Status Logits(Parallel& parallel, std::span<const int32_t> rows, float* logits) override;

 private:
  DecoderStepModel(std::shared_ptr<const DecoderModel> model, KvCache cache, int max_step_tokens);

  const std::shared_ptr<const DecoderModel> model_;
  KvCache cache_;
  StepWorkspace workspace_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_DECODER_STEP_MODEL_H_
