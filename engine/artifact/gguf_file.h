// The structure of a GGUF file: header, metadata, tensor infos, with every size and offset checked against the bytes
// there are. Pure function of the bytes; metadata strings point into them.
// Errors: DATA_LOSS where the file ends too early; INVALID_ARGUMENT or RESOURCE_EXHAUSTED naming field or tensor;
// FAILED_PRECONDITION for another version, a split file or a tensor type that quant_format.h does not have.
// Source: the GGUF specification, version 3 (version 2 has the same layout and is read too).
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_FILE_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_FILE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/artifact/gguf_metadata.h"
#include "engine/base/status.h"
#include "engine/format/quant_format.h"

namespace bitrate {

struct GgufTensor {
  std::string name;
  QuantFormatId format = QuantFormatId::kF32;
  std::vector<int64_t> shape;  // slowest dimension first (the file has it the other way round)
  uint64_t begin = 0;          // bytes from the start of the file
  uint64_t bytes = 0;
};

struct GgufFile {
  uint32_t version = 0;
  uint64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in file order of their infos
};

StatusOr<GgufFile> ParseGguf(std::span<const std::byte> file);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_FILE_H_
