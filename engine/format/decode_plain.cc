#include <bit>
#include <cstring>

#include "engine/base/half.h"
#include "engine/format/decode.h"

namespace bitrate::decode {
namespace {

// Values are converted in chunks through a local copy: files give no alignment, and a constant trip count vectorises.
constexpr int kChunk = 16;

// Same bits as ToFloat(Fp16) but without branches. A subnormal is placed as the mantissa of 2^-14 and that 2^-14 taken
// off again, which is exact and, unlike a multiply of a small integer pattern, independent of the denormal mode.
inline float Fp16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & 0x0f800000u;
  const uint32_t special = exponent == 0x0f800000u ? 112u << 23 : 0u;  // infinity and NaN move to the top exponent
  const uint32_t normal = magnitude + (112u << 23) + special;
  const float shifted = std::bit_cast<float>(magnitude + (113u << 23)) - std::bit_cast<float>(113u << 23);
  return std::bit_cast<float>(sign | (exponent == 0 ? std::bit_cast<uint32_t>(shifted) : normal));
}

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <float (*kConvert)(uint16_t)>
void Row16(const std::byte* row, int64_t k, float* __restrict out) {
  uint16_t chunk[kChunk];
  int64_t i = 0;
  for (; i + kChunk <= k; i += kChunk) {
    std::memcpy(chunk, row + 2 * i, sizeof(chunk));
    for (int j = 0; j < kChunk; ++j) out[i + j] = kConvert(chunk[j]);
  }
  for (; i < k; ++i) {
    std::memcpy(chunk, row + 2 * i, 2);
    out[i] = kConvert(chunk[0]);
  }
}

}  // namespace

void RowF32(const std::byte* row, int64_t k, float* out) {
  if (k > 0) std::memcpy(out, row, static_cast<size_t>(k) * sizeof(float));
}
void RowF16(const std::byte* row, int64_t k, float* out) { Row16<Fp16ToFloat>(row, k, out); }
void RowBF16(const std::byte* row, int64_t k, float* out) { Row16<Bf16ToFloat>(row, k, out); }

}  // namespace bitrate::decode
