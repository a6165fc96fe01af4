// A Hugging Face folder (config.json with model.safetensors, or shards and their index) behind the Checkpoint
// interface. Rules, errors and thread rule: checkpoint.h.
#ifndef BITRATE_ENGINE_ARTIFACT_HF_CHECKPOINT_H_
#define BITRATE_ENGINE_ARTIFACT_HF_CHECKPOINT_H_

#include <memory>
#include <string>
#include <string_view>

#include "engine/artifact/checkpoint.h"

namespace bitrate {

StatusOr<std::shared_ptr<const Checkpoint>> OpenHfCheckpoint(const std::string& path);

// Shard files of an index (model.safetensors.index.json), each with the tensors it must hold. Pure, for fuzzing.
struct ShardIndex {
  // (file, tensor), sorted: the tensors of one file adjoin.
  std::vector<std::pair<std::string, std::string>> entries;
};
StatusOr<ShardIndex> ParseShardIndex(std::string_view text);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_HF_CHECKPOINT_H_
