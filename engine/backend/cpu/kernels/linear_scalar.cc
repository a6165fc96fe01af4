// The scalar reference of every linear kernel: the promised formulas, one output after another, nothing else.
#include <bit>
#include <cmath>
#include <type_traits>

#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/base/half.h"
#include "engine/format/group_quant.h"

namespace bitrate::linear {
namespace {

template <typename Plane>
float PlaneAt(const void* plane, int64_t index) {
  if constexpr (std::is_same_v<Plane, float>) {
    return static_cast<const float*>(plane)[index];
  } else {
    return ToFloat(static_cast<const Plane*>(plane)[index]);
  }
}

int S8At(const Panel& p, int64_t k, int row) {
  return static_cast<const int8_t*>(p.codes)[((k / 4) * kPanelRows + row) * 4 + k % 4];
}

int U4At(const Panel& p, int64_t k, int row) {
  const uint8_t byte = static_cast<const uint8_t*>(p.codes)[((k / 8) * kPanelRows + row) * 4 + k % 4];
  return k % 8 < 4 ? byte & 15 : byte >> 4;
}

struct WeightF32 {
  static float At(const Panel& p, int64_t k, int row) {
    return static_cast<const float*>(p.codes)[k * kPanelRows + row];
  }
};
struct WeightFp16 {
  static float At(const Panel& p, int64_t k, int row) { return PlaneAt<Fp16>(p.codes, k * kPanelRows + row); }
};
struct WeightBf16 {
  static float At(const Panel& p, int64_t k, int row) {
    return PlaneAt<Bf16>(p.codes, ((k / 2) * kPanelRows + row) * 2 + k % 2);
  }
};
struct WeightS8Channel {
  static float At(const Panel& p, int64_t k, int row) {
    return PlaneAt<float>(p.scale, row) * static_cast<float>(S8At(p, k, row));
  }
};
struct WeightS8Group {
  static float At(const Panel& p, int64_t k, int row) {
    return PlaneAt<Fp16>(p.scale, k / p.group_size * kPanelRows + row) * static_cast<float>(S8At(p, k, row));
  }
};
float U4Plane(const Panel& p, const void* plane, int64_t index) {
  return p.f32_planes ? PlaneAt<float>(plane, index) : PlaneAt<Fp16>(plane, index);
}

template <Int4Offset kOffset>
struct WeightU4 {
  static float At(const Panel& p, int64_t k, int row) {
    const int64_t index = k / p.group_size * kPanelRows + row;
    const float scale = U4Plane(p, p.scale, index);
    const int q = U4At(p, k, row);
    if constexpr (kOffset == Int4Offset::kSymmetric) return scale * static_cast<float>(q - 8);
    if constexpr (kOffset == Int4Offset::kZero) {
      return scale * static_cast<float>(q - static_cast<const uint8_t*>(p.offset)[index]);
    }
    return scale * static_cast<float>(q) + U4Plane(p, p.offset, index);
  }
};

struct WeightT4 {
  static float At(const Panel& p, int64_t k, int row) {
    const float scale = PlaneAt<float>(p.scale, k / p.group_size * kPanelRows + row);
    return static_cast<const float*>(p.offset)[U4At(p, k, row)] * scale;
  }
};

template <typename Weight>
void FloatPanel(const Panel& p, const void* x, int64_t ldx, int m, float* out) {
  const float* rows = static_cast<const float*>(x);
  for (int i = 0; i < m; ++i) {
    for (int r = 0; r < kPanelRows; ++r) out[i * kPanelRows + r] = 0.0f;
  }
  for (int64_t begin = 0; begin < p.k; begin += BlockK(p.k)) {
    const int64_t end = begin + BlockK(p.k) < p.k ? begin + BlockK(p.k) : p.k;
    float acc[kChunkRows][kPanelRows] = {};
    for (int64_t k = begin; k < end; ++k) {
      for (int r = 0; r < kPanelRows; ++r) {
        const float w = Weight::At(p, k, r);
        for (int i = 0; i < m; ++i) acc[i][r] = std::fma(rows[i * ldx + k], w, acc[i][r]);
      }
    }
    for (int i = 0; i < m; ++i) {
      for (int r = 0; r < kPanelRows; ++r) out[i * kPanelRows + r] += acc[i][r];
    }
  }
}

// Codes of one row of x within one group.
int32_t DotS8(const Panel& p, const int8_t* x, int64_t begin, int64_t end, int row) {
  int32_t dot = 0;
  for (int64_t k = begin; k < end; ++k) dot += S8At(p, k, row) * x[k];
  return dot;
}

enum class S8Kind { kChannel, kToken, kGroup };

template <S8Kind kKind>
void Int8Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  const int64_t group = kKind == S8Kind::kChannel ? 64 : kKind == S8Kind::kGroup ? 32 : p.k;
  for (int i = 0; i < m; ++i) {
    const int8_t* codes = static_cast<const int8_t*>(x.codes) + i * x.ld;
    for (int r = 0; r < kPanelRows; ++r) {
      float acc = 0.0f;
      for (int64_t g = 0; g < x.num_groups; ++g) {
        const int64_t begin = g * group, end = begin + group < p.k ? begin + group : p.k;
        float scale = x.scale[i * x.num_groups + g];
        if constexpr (kKind == S8Kind::kGroup) scale = PlaneAt<Fp16>(p.scale, g * kPanelRows + r) * scale;
        acc = std::fma(static_cast<float>(DotS8(p, codes, begin, end, r)), scale, acc);
      }
      if constexpr (kKind != S8Kind::kGroup) acc = acc * PlaneAt<float>(p.scale, r);
      out[i * kPanelRows + r] = acc;
    }
  }
}

template <Int4Offset kOffset>
void Int4Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m; ++i) {
    const int8_t* codes = static_cast<const int8_t*>(x.codes) + i * x.ld;
    for (int r = 0; r < kPanelRows; ++r) {
      float acc = 0.0f;
      for (int64_t g = 0; g < x.num_groups; ++g) {
        const int64_t begin = g * p.group_size, end = begin + p.group_size < p.k ? begin + p.group_size : p.k;
        const int64_t index = g * kPanelRows + r;
        const float x_scale = x.scale[i * x.num_groups + g];
        const int32_t x_sum = x.sum[i * x.num_groups + g];
        int32_t dot = 0;
        for (int64_t k = begin; k < end; ++k) dot += U4At(p, k, r) * codes[k];
        if constexpr (kOffset == Int4Offset::kSymmetric) dot -= 8 * x_sum;
        if constexpr (kOffset == Int4Offset::kZero) dot -= static_cast<const uint8_t*>(p.offset)[index] * x_sum;
        acc = std::fma(static_cast<float>(dot), U4Plane(p, p.scale, index) * x_scale, acc);
        if constexpr (kOffset == Int4Offset::kMin) {
          acc = std::fma(U4Plane(p, p.offset, index), x_scale * static_cast<float>(x_sum), acc);
        }
      }
      out[i * kPanelRows + r] = acc;
    }
  }
}

template <typename Code>
void QuantizeRow(const float* x, int64_t k, int64_t k_padded, int64_t group, void* codes, float* scale, int32_t* sum) {
  Code* out = static_cast<Code*>(codes);
  for (int64_t begin = 0, g = 0; begin < k; begin += group, ++g) {
    const int64_t end = begin + group < k ? begin + group : k;
    int32_t amax_bits = 0;  // magnitudes order as integers, NaN above infinity
    for (int64_t i = begin; i < end; ++i) {
      const int32_t bits = std::bit_cast<int32_t>(x[i]) & 0x7fffffff;
      amax_bits = bits > amax_bits ? bits : amax_bits;
    }
    const float amax = std::bit_cast<float>(amax_bits);
    const bool usable = amax >= kTinyAmax && amax_bits < 0x7f800000;
    const float inverse = usable ? 127.0f / amax : 0.0f;
    scale[g] = usable ? amax / 127.0f : amax_bits >= 0x7f800000 ? std::bit_cast<float>(0x7fc00000) : 0.0f;
    int32_t total = 0;
    for (int64_t i = begin; i < end; ++i) {
      const int32_t code = usable ? static_cast<int32_t>(std::nearbyint(x[i] * inverse)) : 0;
      out[i] = static_cast<Code>(code);
      total += code;
    }
    sum[g] = total;
  }
  for (int64_t i = k; i < k_padded; ++i) out[i] = 0;
}

void RoundBf16(const float* x, int64_t k, int64_t k_padded, void* out) {
  float* rounded = static_cast<float*>(out);
  for (int64_t i = 0; i < k; ++i) rounded[i] = ToFloat(ToBf16(x[i]));
  for (int64_t i = k; i < k_padded; ++i) rounded[i] = 0.0f;
}

void ExpandFp16(const void* halves, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const Fp16*>(halves)[i]);
}

}  // namespace

const LinearKernels& ScalarLinearKernels() {
  using enum Int4Offset;
  static constexpr LinearKernels kTable = {
      .isa = "scalar",
      .bf16_dot = false,
      .round_bf16 = RoundBf16,
      .expand_fp16 = ExpandFp16,
      .f32 = FloatPanel<WeightF32>,
      .bf16 = FloatPanel<WeightBf16>,
      .fp16 = FloatPanel<WeightFp16>,
      .s8_channel = FloatPanel<WeightS8Channel>,
      .s8_group = FloatPanel<WeightS8Group>,
      .u4 = {FloatPanel<WeightU4<kSymmetric>>, FloatPanel<WeightU4<kZero>>, FloatPanel<WeightU4<kMin>>},
      .t4 = FloatPanel<WeightT4>,
      .s8_code_bytes = 1,
      .quantize_s8 = QuantizeRow<int8_t>,
      .quantize_s16 = QuantizeRow<int16_t>,
      .int8_channel = Int8Panel<S8Kind::kChannel>,
      .int8_token = Int8Panel<S8Kind::kToken>,
      .int8_group = Int8Panel<S8Kind::kGroup>,
      .int4 = {Int4Panel<kSymmetric>, Int4Panel<kZero>, Int4Panel<kMin>},
  };
  return kTable;
}

}  // namespace bitrate::linear
