#include "engine/runtime/model_instance.h"

#include <utility>

#include "engine/runtime/decoder_step_model.h"
#include "engine/runtime/threaded_instance.h"

namespace bitrate {

StatusOr<std::unique_ptr<ModelInstance>> ModelInstance::Start(std::shared_ptr<const DecoderModel> model,
                                                              std::shared_ptr<const Tokenizer> tokenizer,
                                                              ComputePool* pool, const Clock* clock,
                                                              InstanceObserver* observer,
                                                              const InstanceOptions& options) {
  // Workspace and cache are large: out of memory here is an answer, not an accident.
  try {
    ASSIGN_OR_RETURN(std::unique_ptr<DecoderStepModel> step_model, DecoderStepModel::Create(std::move(model), options));
    return ThreadedInstance::Start(std::move(step_model), std::move(tokenizer), pool, clock, observer, options);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: out of memory for KV cache or workspace", options.name);
  }
}

}  // namespace bitrate
