// A weight matrix as stored in a checkpoint: canonical row-major bytes [N, K], not runnable. Backends prepare from it.
// Immutable after construction; copies are cheap (they share the owner) and may be read by any thread.
#ifndef BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_
#define BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/format/coded_rows.h"
#include "engine/format/quant_format.h"

namespace bitrate {

struct WeightMatrix {
  std::string name;  // Hugging Face name, for messages and for sharing between variants
  QuantFormatId format = QuantFormatId::kF32;
  int64_t n = 0;                      // rows (outputs)
  int64_t k = 0;                      // columns (inputs)
  std::span<const std::byte> data;    // n * row_bytes() bytes
  std::shared_ptr<const void> owner;  // keeps `data` alive: the file mapping, or a buffer when rows were re-ordered
  std::shared_ptr<const CodedLayout> coded;  // of kCoded, else null

  int64_t row_bytes() const { return coded != nullptr ? coded->RowBytes(k) : RowBytes(format, k); }
  // "Q4_1", "GPTQ-int4-g128".
  std::string_view format_name() const {
    return coded != nullptr ? std::string_view(coded->name) : GetQuantFormat(format).name;
  }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_WEIGHT_MATRIX_H_
