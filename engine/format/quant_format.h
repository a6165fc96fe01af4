// The one table of storage formats. "int4", "Q4_1" or "bf16" mean what their row here says and nothing else; no other
// module defines a layout. A format describes rows of K weights; a row is a whole number of blocks.
//
// Sources: GGUF block formats as in ggml (block structs in blocks.h); plain floats little-endian.
#ifndef BITRATE_ENGINE_FORMAT_QUANT_FORMAT_H_
#define BITRATE_ENGINE_FORMAT_QUANT_FORMAT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitrate {

enum class QuantFormatId : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ4_XS,
  kCoded,  // rows of a CodedLayout (coded_rows.h), which the table of blocks below does not have
};

struct QuantFormat {
  QuantFormatId id;
  std::string_view name;  // as users know it: "Q4_1"
  int block_elements;     // weights a block holds along K
  int block_bytes;
  double bits_per_weight;  // with scales
  uint32_t gguf_type;      // ggml type id in a GGUF tensor info
  int code_bits;           // 4 for Q4_*, 16 for f16, ...
};

// All formats of blocks, indexed by QuantFormatId.
std::span<const QuantFormat> AllQuantFormats();
const QuantFormat& GetQuantFormat(QuantFormatId id);  // not of kCoded
std::optional<QuantFormatId> QuantFormatFromGgufType(uint32_t gguf_type);

// Bytes of one row of `k` weights. `k` must be a multiple of block_elements.
int64_t RowBytes(QuantFormatId id, int64_t k);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_QUANT_FORMAT_H_
