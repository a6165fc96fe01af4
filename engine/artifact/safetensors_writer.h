// Writes a safetensors file so that a reader never sees half of one: a temporary file in the same folder, fsync,
// rename. Thread rule: any thread; two writers of one path leave one whole file. Shapes: slowest dimension first.
// Errors: INVALID_ARGUMENT naming the tensor (duplicate or illegal name, data that is not what shape and dtype say);
// RESOURCE_EXHAUSTED (disk full), NOT_FOUND (no such folder), PERMISSION_DENIED. After an error `path` is as before.
#ifndef BITRATE_ENGINE_ARTIFACT_SAFETENSORS_WRITER_H_
#define BITRATE_ENGINE_ARTIFACT_SAFETENSORS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/base/status.h"

namespace bitrate {

struct NamedTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // row-major, little-endian; not owned
};

Status WriteSafetensors(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_SAFETENSORS_WRITER_H_
