// The formats whose 4-bit codes index a table of values: IQ4_NL, IQ4_XS.
#include "engine/format/blocks.h"
#include "engine/format/decode.h"

namespace bitrate::decode {
namespace {

// 32 weights from 16 bytes: element j in the low nibble of byte j, element j + 16 in the high one.
inline void ScaleValues(float scale, const uint8_t* __restrict qs, float* __restrict out) {
  for (int j = 0; j < 16; ++j) out[j] = scale * static_cast<float>(kIq4Values[qs[j] & 15]);
  for (int j = 0; j < 16; ++j) out[j + 16] = scale * static_cast<float>(kIq4Values[qs[j] >> 4]);
}

}  // namespace

void RowIQ4_NL(const std::byte* row, int64_t k, float* out) {
  for (int64_t b = 0; b < k / kBlockElements; ++b, out += kBlockElements) {
    const auto block = LoadBlock<BlockIQ4_NL>(row, b);
    ScaleValues(ToFloat(block.d), block.qs, out);
  }
}

void RowIQ4_XS(const std::byte* row, int64_t k, float* out) {
  for (int64_t b = 0; b < k / kSuperblockElements; ++b) {
    const auto block = LoadBlock<BlockIQ4_XS>(row, b);
    const float d = ToFloat(block.d);
    for (int s = 0; s < 8; ++s, out += kBlockElements) {
      const int low = (block.scales_l[s / 2] >> (s % 2 * 4)) & 15;
      const int scale = low | (((block.scales_h >> (2 * s)) & 3) << 4);
      ScaleValues(d * static_cast<float>(scale - 32), block.qs + 16 * s, out);
    }
  }
}

}  // namespace bitrate::decode
