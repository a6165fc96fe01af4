#include "engine/artifact/hf_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "engine/artifact/checked.h"
#include "engine/artifact/file_error.h"
#include "engine/artifact/mapped_file.h"

namespace bitrate {
namespace {

// Empty and errno set where the path does not resolve.
std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : std::string();
}

bool IsInside(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.size() > folder.size() && path.substr(0, folder.size()) == folder && path[folder.size()] == '/';
}

Status CheckName(std::string_view name) {
  const auto refuse = [&](std::string_view why) {
    return InvalidArgument("file name \"{}\": {}", Printable(name), why);
  };
  if (name.empty()) return refuse("is empty");
  if (name.size() > 4096) return refuse("is longer than 4096 bytes");
  if (name.find('\0') != std::string_view::npos) return refuse("has a NUL byte");
  if (name.find('\\') != std::string_view::npos) return refuse("has a backslash");
  if (name.front() == '/') return refuse("is absolute; want a file inside the model folder");
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part == ".." || part == "." || part.empty()) return refuse("leaves the model folder");
    if (slash == std::string_view::npos) return OkStatus();
    name.remove_prefix(slash + 1);
  }
}

}  // namespace

StatusOr<HfFolder> HfFolder::Open(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) return InvalidArgument("model path: empty or with NUL");
  std::string root = RealPath(path);
  if (root.empty()) return FileError(path, "cannot resolve", errno);
  struct stat info;
  if (stat(root.c_str(), &info) != 0) return FileError(path, "cannot stat", errno);
  if (!S_ISDIR(info.st_mode)) return InvalidArgument("{}: not a folder", path);
  return HfFolder(path, std::move(root));
}

StatusOr<std::string> HfFolder::Resolve(std::string_view name) const {
  RETURN_IF_ERROR(CheckName(name));
  const std::string joined = root_ + "/" + std::string(name);
  std::string real = RealPath(joined);
  if (real.empty()) return FileError(path_ + "/" + Printable(name), "cannot open", errno);
  if (IsInside(real, root_)) return real;
  const std::string blobs = RealPath(root_ + "/../../blobs");
  if (!blobs.empty() && IsInside(real, blobs)) return real;
  return InvalidArgument("{}/{}: a symbolic link that leaves the model folder", path_, Printable(name));
}

StatusOr<std::string> HfFolder::ReadOptional(std::string_view name, uint64_t max_bytes) const {
  StatusOr<std::string> file = Resolve(name);
  if (file.status().code() == StatusCode::kNotFound) return std::string();
  if (!file.ok()) return file.status();
  return ReadTextFile(*file, max_bytes);
}

}  // namespace bitrate
