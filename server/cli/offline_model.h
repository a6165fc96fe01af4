// A model loaded for one process's own use: no server, no batching, one sequence at a time through the serving kernels.
// Owner: the thread that made it; it holds the workers for its whole life.
#ifndef BITRATE_SERVER_CLI_OFFLINE_MODEL_H_
#define BITRATE_SERVER_CLI_OFFLINE_MODEL_H_

#include <absl/functional/function_ref.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/compute_pool.h"
#include "engine/model/decoder_model.h"
#include "server/cli/offline_commands.h"

namespace bitrate {

class OfflineModel {
 public:
  // INVALID_ARGUMENT for an unknown precision; errors of Checkpoint::Open and DecoderModel::Load. Progress is shown on
  // stderr where that is a terminal.
  static StatusOr<std::unique_ptr<OfflineModel>> Load(const ModelFlags& flags);

  const ModelConfig& config() const { return model_->config(); }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

  using LogitsFn = absl::FunctionRef<Status(int64_t position, std::span<const float> logits)>;
  // Runs `ids` as one prompt and calls `fn` for each position from `first` on, in order. INVALID_ARGUMENT for ids
  // outside the vocabulary, none at all, or more than the context; an error of `fn` ends the run.
  Status Run(std::span<const int32_t> ids, int64_t first, LogitsFn fn);

 private:
  OfflineModel(std::unique_ptr<Backend> backend, const ModelFlags& flags);
  Status RunChunk(std::span<const int32_t> ids, int64_t begin, int64_t first, LogitsFn fn);

  std::shared_ptr<const Checkpoint> checkpoint_;
  const std::unique_ptr<Backend> backend_;
  ComputePool pool_;
  ComputePool::Lease lease_;
  std::shared_ptr<const DecoderModel> model_;
  std::shared_ptr<const Adapter> adapter_;  // null = none
  StepWorkspace workspace_;
  AlignedBuffer<std::byte> kv_;  // grows to the longest prompt
  StepInput input_;
  std::vector<float> logits_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLI_OFFLINE_MODEL_H_
