// Row decoders, one per storage format; internal to engine/format. Callers have checked the sizes: `row` holds
// RowBytes(format, k) bytes of any alignment, `out` [K] f32, and the two do not overlap.
//
// Inner loops have constant trip counts and restrict pointers: that is what GCC 12 vectorises at -O2.
#ifndef BITRATE_ENGINE_FORMAT_DECODE_H_
#define BITRATE_ENGINE_FORMAT_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bitrate::decode {

template <typename Block>
Block LoadBlock(const std::byte* row, int64_t index) {
  Block block;
  std::memcpy(&block, row + index * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

using RowDecoder = void (*)(const std::byte* row, int64_t k, float* out);

void RowF32(const std::byte* row, int64_t k, float* out);
void RowF16(const std::byte* row, int64_t k, float* out);
void RowBF16(const std::byte* row, int64_t k, float* out);
void RowQ8_0(const std::byte* row, int64_t k, float* out);
void RowQ4_0(const std::byte* row, int64_t k, float* out);
void RowQ4_1(const std::byte* row, int64_t k, float* out);
void RowQ5_0(const std::byte* row, int64_t k, float* out);
void RowQ5_1(const std::byte* row, int64_t k, float* out);
void RowQ4_K(const std::byte* row, int64_t k, float* out);
void RowQ5_K(const std::byte* row, int64_t k, float* out);
void RowQ6_K(const std::byte* row, int64_t k, float* out);
void RowQ2_K(const std::byte* row, int64_t k, float* out);
void RowQ3_K(const std::byte* row, int64_t k, float* out);
void RowIQ4_NL(const std::byte* row, int64_t k, float* out);
void RowIQ4_XS(const std::byte* row, int64_t k, float* out);

}  // namespace bitrate::decode

#endif  // BITRATE_ENGINE_FORMAT_DECODE_H_
