#include "engine/artifact/safetensors_file.h"

#include "engine/artifact/checked.h"
#include "engine/format/reference_codec.h"

namespace bitrate {

StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  return FromMapping(std::move(file));
}

StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::FromMapping(std::shared_ptr<const MappedFile> file) {
  StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(file->bytes());
  if (!header.ok()) return Annotate(header.status(), file->path());
  return std::shared_ptr<const SafetensorsFile>(new SafetensorsFile(std::move(file), *std::move(header)));
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : it->second;
}

StatusOr<std::vector<float>> SafetensorsFile::Floats(std::string_view name) const {
  const SafetensorsTensor* tensor = Find(name);
  if (tensor == nullptr) return NotFound("{}: tensor {}: not in the file", path(), Printable(name));
  QuantFormatId format;
  if (tensor->dtype == DType::kF32) {
    format = QuantFormatId::kF32;
  } else if (tensor->dtype == DType::kF16) {
    format = QuantFormatId::kF16;
  } else if (tensor->dtype == DType::kBF16) {
    format = QuantFormatId::kBF16;
  } else {
    return FailedPrecondition("{}: tensor {}: dtype {}, want F32, F16 or BF16", path(), Printable(name),
                              tensor->dtype_name);
  }
  const std::span<const std::byte> bytes = Bytes(*tensor);
  std::vector<float> values(bytes.size() / static_cast<size_t>(GetQuantFormat(format).block_bytes));
  if (!values.empty()) DecodeRow(format, bytes, values);
  return values;
}

}  // namespace bitrate
