#include "engine/format/codebooks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace bitrate {
namespace {

constexpr std::array<float, 16> kNf4 = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// Code i + 1 is chosen above threshold i.
constexpr std::array<float, 15> kNf4Thresholds = {
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784178118011f};

uint8_t Nf4Code(float x) {
  return static_cast<uint8_t>(std::lower_bound(kNf4Thresholds.begin(), kNf4Thresholds.end(), x) -
                              kNf4Thresholds.begin());
}

float MaxMagnitude(std::span<const float> values) {
  float most = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) return std::numeric_limits<float>::quiet_NaN();
    most = std::max(most, std::fabs(value));
  }
  return most;
}

}  // namespace

const std::array<float, 16>& Nf4Codebook() { return kNf4; }

std::vector<float> E2m1Codebook() {
  const float magnitudes[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  std::vector<float> table(16);
  for (size_t i = 0; i < table.size(); ++i) table[i] = i < 8 ? magnitudes[i] : -magnitudes[i - 8];
  return table;
}

std::vector<float> E4m3Codebook() {
  std::vector<float> table(256);
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15, mantissa = code & 7;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    if (exponent == 15 && mantissa == 7) value = std::numeric_limits<float>::quiet_NaN();
    table[static_cast<size_t>(code)] = (code & 128) != 0 ? -value : value;
  }
  return table;
}

float E8m0(uint8_t code) {
  if (code == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, code - 127);
}

CodedLayout Nf4Layout() {
  CodedLayout layout;
  layout.name = "NF4-g64";
  layout.bits_per_weight = 4 + 32.0 / kNf4Block;
  layout.group_size = kNf4Block;
  layout.table.assign(kNf4.begin(), kNf4.end());
  return layout;
}

void EncodeNf4(std::span<const float> rows, int64_t n, int64_t k, std::byte* out) {
  const CodedLayout layout = Nf4Layout();
  for (int64_t r = 0; r < n; ++r) {
    const CodedRow row = RowParts(layout, k, out + r * layout.RowBytes(k));
    std::fill_n(row.codes, layout.CodeBytes(k), uint8_t{0});
    for (int64_t g = 0, begin = 0; begin < k; ++g, begin += kNf4Block) {
      const auto block = rows.subspan(static_cast<size_t>(r * k + begin),
                                      static_cast<size_t>(std::min<int64_t>(kNf4Block, k - begin)));
      row.scale[g] = MaxMagnitude(block);
      const float inverse = row.scale[g] > 0 ? 1.0f / row.scale[g] : 0.0f;
      for (size_t i = 0; i < block.size(); ++i) {
        const auto at = begin + static_cast<int64_t>(i);
        const uint8_t code = Nf4Code(block[i] * inverse);
        row.codes[at / 2] |= static_cast<uint8_t>(at % 2 == 0 ? code : code << 4);
      }
    }
  }
}

}  // namespace bitrate
