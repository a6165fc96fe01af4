// One safetensors file, mapped: names to dtype, shape and bytes. For checkpoints use Checkpoint; this is for single
// files (golden logits, adapters).
// Thread rule: immutable after Open. Errors: as MappedFile and ParseSafetensorsHeader, with the path in front.
#ifndef BITRATE_ENGINE_ARTIFACT_SAFETENSORS_FILE_H_
#define BITRATE_ENGINE_ARTIFACT_SAFETENSORS_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/artifact/mapped_file.h"
#include "engine/artifact/safetensors_header.h"
#include "engine/base/status.h"

namespace bitrate {

class SafetensorsFile {
 public:
  static StatusOr<std::shared_ptr<const SafetensorsFile>> Open(const std::string& path);
  static StatusOr<std::shared_ptr<const SafetensorsFile>> FromMapping(std::shared_ptr<const MappedFile> file);

  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return file_->path(); }
  uint64_t file_bytes() const { return file_->bytes().size(); }
  const std::vector<SafetensorsTensor>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  // nullptr where there is no such tensor.
  const SafetensorsTensor* Find(std::string_view name) const;
  std::span<const std::byte> Bytes(const SafetensorsTensor& tensor) const {
    return file_->bytes().subspan(tensor.begin, tensor.end - tensor.begin);
  }
  const std::shared_ptr<const MappedFile>& mapping() const { return file_; }

  // An F32, F16 or BF16 tensor as f32. NOT_FOUND, FAILED_PRECONDITION for other dtypes.
  StatusOr<std::vector<float>> Floats(std::string_view name) const;

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {
    for (const SafetensorsTensor& tensor : header_.tensors) index_.emplace(tensor.name, &tensor);
  }

  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string_view, const SafetensorsTensor*> index_;  // into header_, which never changes
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_SAFETENSORS_FILE_H_
