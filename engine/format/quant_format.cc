#include "engine/format/quant_format.h"

#include <array>

#include "engine/base/check.h"
#include "engine/format/blocks.h"

namespace bitrate {
namespace {

constexpr QuantFormat Row(QuantFormatId id, std::string_view name, int elements, int bytes, uint32_t gguf_type,
                          int code_bits) {
  return {id, name, elements, bytes, 8.0 * bytes / elements, gguf_type, code_bits};
}

constexpr std::array<QuantFormat, 15> kFormats = {{
    Row(QuantFormatId::kF32, "F32", 1, 4, 0, 32),
    Row(QuantFormatId::kF16, "F16", 1, 2, 1, 16),
    Row(QuantFormatId::kBF16, "BF16", 1, 2, 30, 16),
    Row(QuantFormatId::kQ8_0, "Q8_0", kBlockElements, sizeof(BlockQ8_0), 8, 8),
    Row(QuantFormatId::kQ4_0, "Q4_0", kBlockElements, sizeof(BlockQ4_0), 2, 4),
    Row(QuantFormatId::kQ4_1, "Q4_1", kBlockElements, sizeof(BlockQ4_1), 3, 4),
    Row(QuantFormatId::kQ5_0, "Q5_0", kBlockElements, sizeof(BlockQ5_0), 6, 5),
    Row(QuantFormatId::kQ5_1, "Q5_1", kBlockElements, sizeof(BlockQ5_1), 7, 5),
    Row(QuantFormatId::kQ4_K, "Q4_K", kSuperblockElements, sizeof(BlockQ4_K), 12, 4),
    Row(QuantFormatId::kQ5_K, "Q5_K", kSuperblockElements, sizeof(BlockQ5_K), 13, 5),
    Row(QuantFormatId::kQ6_K, "Q6_K", kSuperblockElements, sizeof(BlockQ6_K), 14, 6),
    Row(QuantFormatId::kQ2_K, "Q2_K", kSuperblockElements, sizeof(BlockQ2_K), 10, 2),
    Row(QuantFormatId::kQ3_K, "Q3_K", kSuperblockElements, sizeof(BlockQ3_K), 11, 3),
    Row(QuantFormatId::kIQ4_NL, "IQ4_NL", kBlockElements, sizeof(BlockIQ4_NL), 20, 4),
    Row(QuantFormatId::kIQ4_XS, "IQ4_XS", kSuperblockElements, sizeof(BlockIQ4_XS), 23, 4),
}};

constexpr bool IndexedById() {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (static_cast<size_t>(kFormats[i].id) != i) return false;
  }
  return true;
}
static_assert(IndexedById());

}  // namespace

std::span<const QuantFormat> AllQuantFormats() { return kFormats; }

const QuantFormat& GetQuantFormat(QuantFormatId id) {
  BITRATE_CHECK(id != QuantFormatId::kCoded);
  return kFormats[static_cast<size_t>(id)];
}

std::optional<QuantFormatId> QuantFormatFromGgufType(uint32_t gguf_type) {
  for (const QuantFormat& format : kFormats) {
    if (format.gguf_type == gguf_type) return format.id;
  }
  return std::nullopt;
}

int64_t RowBytes(QuantFormatId id, int64_t k) {
  const QuantFormat& format = GetQuantFormat(id);
  BITRATE_CHECK(k >= 0 && k % format.block_elements == 0);
  return k / format.block_elements * format.block_bytes;
}

}  // namespace bitrate
