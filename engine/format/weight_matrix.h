// A weight matrix as stored in a checkpoint: canonical row-major bytes [N, K], not runnable. Backends prepare from it.
// Immutable after construction; copies are cheap (they share the owner) and may be read by any thread.
#ifndef BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_
#define BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/format/quant_format.h"

namespace bitrate {

struct WeightMatrix {
  std::string name;  // Hugging Face name, for messages and for sharing between variants
  QuantFormatId format = QuantFormatId::kF32;
  int64_t n = 0;                      // rows (outputs)
  int64_t k = 0;                      // columns (inputs)
  std::span<const std::byte> data;    // n * RowBytes(format, k) bytes
  std::shared_ptr<const void> owner;  // keeps `data` alive: the file mapping, or a buffer when rows were re-ordered
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_
