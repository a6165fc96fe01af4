#include "engine/runtime/decoder_step_model.h"

#include <algorithm>
#include <utility>

#include "engine/kv/block_table.h"

namespace bitrate {
namespace {

constexpr uint64_t kDefaultMaxKvBytes = uint64_t{1} << 30;

StatusOr<int64_t> NumBlocks(const KvGeometry& geometry, int64_t context, const InstanceOptions& options) {
  const uint64_t block_bytes = geometry.BlockBytes();
  const int64_t context_blocks = BlocksFor(context, geometry.block_tokens);
  const uint64_t all_contexts = static_cast<uint64_t>(context_blocks) * options.max_sequences * block_bytes;
  const uint64_t budget = options.kv_bytes != 0 ? options.kv_bytes : std::min(all_contexts, kDefaultMaxKvBytes);
  // Block ids are 32 bits, and no more blocks than that are ever useful.
  const auto num_blocks = static_cast<int64_t>(std::min<uint64_t>(budget / block_bytes, INT32_MAX));
  if (num_blocks < context_blocks && (options.kv_bytes != 0 || num_blocks == 0)) {
    return ResourceExhausted("kv_bytes: {} bytes hold {} tokens, one full context is {} ({} bytes)", budget,
                             num_blocks * geometry.block_tokens, context, context_blocks * block_bytes);
  }
  return num_blocks;
}

}  // namespace

StatusOr<std::unique_ptr<DecoderStepModel>> DecoderStepModel::Create(std::shared_ptr<const DecoderModel> model,
                                                                     const InstanceOptions& options) {
  const KvGeometry geometry = model->MakeKvGeometry();
  ASSIGN_OR_RETURN(const int64_t num_blocks, NumBlocks(geometry, model->max_context(), options));
  ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(geometry, num_blocks));
  return std::unique_ptr<DecoderStepModel>(
      new DecoderStepModel(std::move(model), std::move(cache), options.max_step_tokens));
}

DecoderStepModel::DecoderStepModel(std::shared_ptr<const DecoderModel> model, KvCache cache, int max_step_tokens)
    : model_(std::move(model)), cache_(std::move(cache)), workspace_(model_->MakeWorkspace(max_step_tokens)) {}

StepModelInfo DecoderStepModel::info() const {
  const ModelConfig& config = model_->config();
  StepModelInfo info;
  info.vocab_size = config.vocab_size;
  info.block_tokens = cache_.geometry().block_tokens;
  info.num_blocks = static_cast<int>(cache_.num_blocks());
  info.max_context = std::min(model_->max_context(), cache_.num_blocks() * info.block_tokens);
  info.kv_bytes = cache_.bytes();
  info.eos_ids = config.eos_ids;
  info.rope_switch = model_->rope_switch();
  // Multiply-adds a layer: attention does 2 x H x D for each attended token; the linears q, k, v, o, gate, up and down
  // do this much for each token.
  const double heads = static_cast<double>(config.num_heads * config.head_dim);
  const double kv_heads = static_cast<double>(config.num_kv_heads * config.head_dim);
  const double linear = static_cast<double>(config.hidden_size) *
                        (2 * heads + 2 * kv_heads + 3 * static_cast<double>(config.intermediate_size));
  info.attention_weight = linear > 0 ? 2 * heads / linear : 0;
  return info;
}

Status DecoderStepModel::Forward(Parallel& parallel, const StepInput& input) {
  model_->Forward(parallel, input, cache_.base(), workspace_);
  return OkStatus();
}

Status DecoderStepModel::Logits(Parallel& parallel, std::span<const int32_t> rows, float* logits) {
  model_->Logits(parallel, rows, workspace_, logits);
  return OkStatus();
}

}  // namespace bitrate
