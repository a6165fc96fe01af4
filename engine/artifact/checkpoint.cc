#include "engine/artifact/checkpoint.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "engine/artifact/checked.h"
#include "engine/artifact/file_error.h"
#include "engine/artifact/gguf_checkpoint.h"
#include "engine/artifact/hf_checkpoint.h"
#include "engine/artifact/hf_folder.h"

namespace bitrate {
namespace {

// The one .gguf of a folder without config.json.
StatusOr<std::string> FindGguf(const std::string& folder) {
  std::error_code error;
  std::optional<std::string> found;
  size_t count = 0;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (it->path().extension() != ".gguf") continue;
    ++count;
    found = it->path().filename().string();
  }
  if (error) return FileError(folder, "cannot list", error.value());
  if (count == 0) return NotFound("{}: has neither config.json nor a .gguf file", folder);
  if (count > 1) {
    return InvalidArgument("{}: has {} .gguf files and no config.json; name the one you mean", folder, count);
  }
  return *found;
}

StatusOr<std::shared_ptr<const Checkpoint>> OpenFolder(const std::string& path) {
  ASSIGN_OR_RETURN(const HfFolder folder, HfFolder::Open(path));
  const StatusOr<std::string> config = folder.Resolve("config.json");
  if (config.ok()) return OpenHfCheckpoint(path);
  if (config.status().code() != StatusCode::kNotFound) return config.status();
  ASSIGN_OR_RETURN(const std::string name, FindGguf(path));
  ASSIGN_OR_RETURN(const std::string file, folder.Resolve(name));
  return OpenGgufCheckpoint(file);
}

}  // namespace

bool Checkpoint::IsQuantized() const {
  for (const TensorInfo& info : tensors()) {
    const bool plain =
        info.format == QuantFormatId::kF32 || info.format == QuantFormatId::kF16 || info.format == QuantFormatId::kBF16;
    if (info.is_weight && info.shape.size() == 2 && !plain) return true;
  }
  return false;
}

StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::Open(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return InvalidArgument("model path: \"{}\" is empty or has a NUL byte", Printable(path));
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FileError(path, "cannot open", errno);
  if (S_ISDIR(info.st_mode)) return OpenFolder(path);
  if (path.ends_with(".safetensors") || path.ends_with(".json")) {
    return InvalidArgument("{}: one file of a model; want its folder or a .gguf file", path);
  }
  return OpenGgufCheckpoint(path);
}

}  // namespace bitrate
