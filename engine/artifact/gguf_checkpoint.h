// A GGUF file behind the Checkpoint interface. Rules, errors and thread rule: checkpoint.h.
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_CHECKPOINT_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_CHECKPOINT_H_

#include <memory>
#include <string>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/mapped_file.h"

namespace bitrate {

StatusOr<std::shared_ptr<const Checkpoint>> OpenGgufCheckpoint(const std::string& path);
StatusOr<std::shared_ptr<const Checkpoint>> GgufCheckpointFromMapping(std::shared_ptr<const MappedFile> file);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_CHECKPOINT_H_
