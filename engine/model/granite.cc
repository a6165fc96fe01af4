// Granite: llama with four multipliers (transformers' GraniteForCausalLM): of the embedding, of what joins the residual
// stream, of the attention scores instead of head_dim^-0.5, and a divisor of the logits.
#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/model/architecture.h"
#include "engine/model/config_fields.h"

namespace bitrate {
namespace {

StatusOr<ModelConfig> MapConfig(const nlohmann::json& config) {
  RETURN_IF_ERROR(RefuseSwitches(
      config, {"embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"}));
  ModelConfig out;
  RETURN_IF_ERROR(ReadCommon(config, out));
  RETURN_IF_ERROR(ReadRope(config, out));
  ASSIGN_OR_RETURN(out.embedding_scale, ReadScale(config, "embedding_multiplier", 1.0));
  ASSIGN_OR_RETURN(out.residual_scale, ReadScale(config, "residual_multiplier", 1.0));
  ASSIGN_OR_RETURN(out.attention_scale, ReadScale(config, "attention_multiplier", 1.0));
  ASSIGN_OR_RETURN(const double divisor, ReadScale(config, "logits_scaling", 1.0));
  out.logits_scale = 1.0 / divisor;
  RETURN_IF_ERROR(ReadBiases(config, out));
  return out;
}

}  // namespace

const Architecture kGraniteArchitecture = {"granite", "GraniteForCausalLM", MapConfig, LlamaModelNames,
                                           LlamaLayerNames};

}  // namespace bitrate
