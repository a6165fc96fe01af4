// A model folder read from inside only. Names come from files that nobody vouches for (an index), so each is resolved
// and must stay in the folder; symbolic links must too, or follow the Hugging Face cache's own layout
// (snapshots/REV/file -> ../../blobs/HASH).
// Thread rule: immutable. Errors: NOT_FOUND for what is not there, INVALID_ARGUMENT for a name that leaves the folder.
#ifndef BITRATE_ENGINE_ARTIFACT_HF_FOLDER_H_
#define BITRATE_ENGINE_ARTIFACT_HF_FOLDER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace bitrate {

class HfFolder {
 public:
  static StatusOr<HfFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }

  // The real path of a file in the folder. `name` may have subfolders, but no "..", no root and no NUL.
  StatusOr<std::string> Resolve(std::string_view name) const;
  bool Has(std::string_view name) const { return Resolve(name).ok(); }

  // Text of a file of at most `max_bytes`; empty where there is no such file.
  StatusOr<std::string> ReadOptional(std::string_view name, uint64_t max_bytes) const;

 private:
  HfFolder(std::string path, std::string root) : path_(std::move(path)), root_(std::move(root)) {}

  std::string path_;  // as given, for messages
  std::string root_;  // real path
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_HF_FOLDER_H_
