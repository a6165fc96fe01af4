// The header of a safetensors file: u64 little-endian length, a JSON object of tensors, then their bytes.
// Pure function of the bytes; nothing is copied but names and shapes.
// Errors: DATA_LOSS where the file is shorter or longer than it says; INVALID_ARGUMENT naming the tensor for anything
// malformed (offsets that overlap, leave holes or disagree with the shape, duplicate names, ...); RESOURCE_EXHAUSTED
// over a bound; FAILED_PRECONDITION for a dtype this reader does not know. A tensor of zero elements is legal.
// Source: the safetensors format description and the checks of its reference reader.
#ifndef BITRATE_ENGINE_ARTIFACT_SAFETENSORS_HEADER_H_
#define BITRATE_ENGINE_ARTIFACT_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/base/status.h"

namespace bitrate {

struct SafetensorsTensor {
  std::string name;
  std::string dtype_name;      // "F32", "BF16", "I64", ...
  std::optional<DType> dtype;  // nullopt: an 8-bit float, known by size only
  std::vector<int64_t> shape;  // slowest dimension first
  uint64_t begin = 0;          // bytes from the start of the file
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // in file order of their bytes
  std::map<std::string, std::string> metadata;
};

StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file);

// "F32" for kF32 and so on: the names of the format.
std::string_view SafetensorsDTypeName(DType dtype);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_SAFETENSORS_HEADER_H_
