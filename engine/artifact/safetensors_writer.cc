#include "engine/artifact/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/artifact/checked.h"
#include "engine/artifact/file_error.h"
#include "engine/artifact/safetensors_header.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

Status CheckTensor(const NamedTensor& tensor) {
  const std::string name = Printable(tensor.name);
  if (tensor.name.empty() || tensor.name == "__metadata__" || tensor.name.size() > limits::kMaxTensorNameBytes ||
      tensor.name.find('\0') != std::string::npos || !IsValidUtf8(tensor.name)) {
    return InvalidArgument("tensor \"{}\": not a legal name", name);
  }
  if (tensor.shape.size() > static_cast<size_t>(limits::kMaxTensorDims)) {
    return InvalidArgument("tensor {}: {} dimensions, the limit is {}", name, tensor.shape.size(),
                           limits::kMaxTensorDims);
  }
  const auto elements = CheckedElements(tensor.shape, static_cast<uint64_t>(limits::kMaxTensorElements));
  if (!elements || *elements * DTypeBytes(tensor.dtype) != tensor.data.size()) {
    return InvalidArgument("tensor {}: {} bytes of data are not what its shape and type {} want", name,
                           tensor.data.size(), DTypeName(tensor.dtype));
  }
  return OkStatus();
}

// Wide types first, then by name: every tensor is then aligned to its element size, as the reference writer does it.
std::vector<const NamedTensor*> FileOrder(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const size_t wide_a = DTypeBytes(a->dtype), wide_b = DTypeBytes(b->dtype);
    return wide_a != wide_b ? wide_a > wide_b : a->name < b->name;
  });
  return order;
}

// Length prefix and JSON, padded with spaces so that the data start on a multiple of 8.
std::string Header(const std::vector<const NamedTensor*>& order) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  uint64_t offset = 0;
  for (const NamedTensor* tensor : order) {
    const uint64_t end = offset + tensor->data.size();
    json[tensor->name] = {
        {"dtype", SafetensorsDTypeName(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string header(sizeof(length), '\0');
  std::memcpy(header.data(), &length, sizeof(length));
  return header + text;
}

// A file that exists only until Commit: any earlier end removes it.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    static std::atomic<uint64_t> counter{0};  // unique names within the process; no ordering needed
    temporary_ = fmt::format("{}.tmp.{}.{}", path, getpid(), counter.fetch_add(1, std::memory_order_relaxed));
  }
  ~TemporaryFile() {
    if (fd_ >= 0) close(fd_);
    if (created_) unlink(temporary_.c_str());
  }

  Status Create() {
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ < 0) return FileError(path_, "cannot create", errno);
    created_ = true;
    return OkStatus();
  }

  Status Write(const void* data, size_t size) {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t done = write(fd_, bytes, size);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return FileError(path_, "cannot write", errno);
      bytes += done;
      size -= static_cast<size_t>(done);
    }
    return OkStatus();
  }

  Status Commit() {
    if (fsync(fd_) != 0) return FileError(path_, "cannot sync", errno);
    if (close(std::exchange(fd_, -1)) != 0) return FileError(path_, "cannot close", errno);
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return FileError(path_, "cannot rename to", errno);
    created_ = false;
    return SyncFolder();
  }

 private:
  // The rename itself is durable only once its folder is.
  Status SyncFolder() {
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return FileError(folder, "cannot open", errno);
    const int result = fsync(fd);
    const int error = errno;
    close(fd);
    // Some file systems cannot sync a folder; the data are safe all the same.
    return result == 0 || error == EINVAL ? OkStatus() : FileError(folder, "cannot sync", error);
  }

  std::string path_, temporary_;
  int fd_ = -1;
  bool created_ = false;
};

}  // namespace

Status WriteSafetensors(const std::string& path, std::span<const NamedTensor> tensors) {
  if (path.empty() || path.find('\0') != std::string::npos) return InvalidArgument("output path: empty or with NUL");
  std::set<std::string_view> names;
  for (const NamedTensor& tensor : tensors) {
    RETURN_IF_ERROR(CheckTensor(tensor));
    if (!names.insert(tensor.name).second) {
      return InvalidArgument("tensor {}: the name appears twice", Printable(tensor.name));
    }
  }
  const std::vector<const NamedTensor*> order = FileOrder(tensors);
  const std::string header = Header(order);
  TemporaryFile file(path);
  RETURN_IF_ERROR(file.Create());
  RETURN_IF_ERROR(file.Write(header.data(), header.size()));
  for (const NamedTensor* tensor : order) RETURN_IF_ERROR(file.Write(tensor->data.data(), tensor->data.size()));
  return file.Commit();
}

}  // namespace bitrate
