// Tells whether the files of a checkpoint are those of an earlier start without reading them: what the file system says
// of them, and a sample of their content for file systems whose times cannot be trusted.
#ifndef BITRATE_ENGINE_ARTIFACT_SOURCE_IDENTITY_H_
#define BITRATE_ENGINE_ARTIFACT_SOURCE_IDENTITY_H_

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/artifact/mapped_file.h"

namespace bitrate {

// As Checkpoint::source_identity says; independent of where the files lie. Reads at most 64 pages of 4 KiB a file.
std::string SourceIdentity(std::string_view digest, std::span<const std::shared_ptr<const MappedFile>> files,
                           std::chrono::system_clock::time_point now);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_SOURCE_IDENTITY_H_
