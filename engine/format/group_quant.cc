#include "engine/format/group_quant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "engine/base/half.h"

namespace bitrate {
namespace {

constexpr float kMaxFp16 = 65504.0f;
constexpr int64_t kChunk = 16;  // constant trip counts are what GCC 12 vectorises at -O2

// A float's bits as an integer of the same order (the usual sign flip), so that min and max vectorise without
// -ffinite-math. NaNs land beyond the infinities and so show up in the extreme.
inline int32_t Ordered(float f) {
  const int32_t bits = std::bit_cast<int32_t>(f);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
inline float FromOrdered(int32_t i) { return std::bit_cast<float>(i ^ ((i >> 31) & 0x7fffffff)); }

struct Range {
  float min, max;
};

Range RangeOf(const float* w, int64_t count) {
  int32_t low[kChunk], high[kChunk];
  std::fill_n(low, kChunk, Ordered(w[0]));
  std::fill_n(high, kChunk, Ordered(w[0]));
  int64_t i = 0;
  for (; i + kChunk <= count; i += kChunk) {
    for (int j = 0; j < kChunk; ++j) {
      const int32_t value = Ordered(w[i + j]);
      low[j] = value < low[j] ? value : low[j];
      high[j] = value > high[j] ? value : high[j];
    }
  }
  for (; i < count; ++i) {
    low[0] = std::min(low[0], Ordered(w[i]));
    high[0] = std::max(high[0], Ordered(w[i]));
  }
  return {FromOrdered(*std::min_element(low, low + kChunk)), FromOrdered(*std::max_element(high, high + kChunk))};
}

// Round half to even of a value within +-2^22: adding 1.5 * 2^23 leaves the integer in the low bits of the sum.
inline int32_t RoundEven(float v) {
  constexpr float kMagic = 12582912.0f;
  return std::bit_cast<int32_t>(v + kMagic) - std::bit_cast<int32_t>(kMagic);
}

// code = clamp(round((w - shift) / scale), low, high) + bias. Clamping first is the same as clamping the rounded value
// because the bounds are integers; it also sends NaN to `low` and keeps RoundEven in its range.
template <typename Code>
void EncodeGroup(const float* __restrict w, int64_t count, float shift, float scale, int low, int high, int bias,
                 Code* __restrict codes) {
  const float low_f = static_cast<float>(low), high_f = static_cast<float>(high);
  const auto encode = [=](float value) {
    float v = (value - shift) / scale;
    v = v > low_f ? v : low_f;
    v = v < high_f ? v : high_f;
    return static_cast<Code>(RoundEven(v) + bias);
  };
  int64_t i = 0;
  for (; i + kChunk <= count; i += kChunk) {
    for (int j = 0; j < kChunk; ++j) codes[i + j] = encode(w[i + j]);
  }
  for (; i < count; ++i) codes[i] = encode(w[i]);
}

bool Finite(Range r) { return std::isfinite(r.min) && std::isfinite(r.max); }

float StoredFp16(float value) {
  const float clamped = std::clamp(value, -kMaxFp16, kMaxFp16);
  return ToFloat(ToFp16(clamped));
}

struct GroupGrid {
  float scale = 0.0f;
  float min = 0.0f;
  int zero = 0;
};

GroupGrid FitGroup(Range range, Int4Offset offset, ScaleStorage storage) {
  // A damaged weight must stay visible: a NaN scale makes its whole group NaN.
  if (!Finite(range)) return {std::numeric_limits<float>::quiet_NaN(), 0.0f, 0};
  const auto stored = [storage](float v) { return storage == ScaleStorage::kFp16 ? StoredFp16(v) : v; };
  GroupGrid grid;
  switch (offset) {
    case Int4Offset::kSymmetric:
      grid.scale = stored(std::max(-range.min, range.max) / 8.0f);
      break;
    case Int4Offset::kZero: {
      const float low = std::min(range.min, 0.0f), high = std::max(range.max, 0.0f);
      // Halves first where the width itself would overflow.
      const float width = high - low;
      grid.scale = stored(std::isfinite(width) ? width / 15.0f : high / 15.0f - low / 15.0f);
      if (grid.scale > 0.0f) grid.zero = RoundEven(std::clamp(-low / grid.scale, 0.0f, 15.0f));
      break;
    }
    case Int4Offset::kMin: {
      const float width = range.max - range.min;
      grid.scale = stored(std::isfinite(width) ? width / 15.0f : range.max / 15.0f - range.min / 15.0f);
      grid.min = stored(range.min);
      break;
    }
  }
  return grid;
}

void EncodeInt4Group(const float* w, int64_t count, Int4Offset offset, const GroupGrid& grid, uint8_t* codes) {
  const int neutral = offset == Int4Offset::kSymmetric ? 8 : grid.zero;
  if (!(grid.scale > 0.0f)) {
    std::fill_n(codes, count, static_cast<uint8_t>(neutral));
    return;
  }
  if (offset == Int4Offset::kMin) {
    EncodeGroup(w, count, grid.min, grid.scale, 0, 15, 0, codes);
  } else {
    EncodeGroup(w, count, 0.0f, grid.scale, -neutral, 15 - neutral, neutral, codes);
  }
}

void CheckShape(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size) {
  BITRATE_CHECK(n >= 0 && k > 0 && group_size > 0);
  BITRATE_CHECK(static_cast<int64_t>(rows.size()) == n * k);
}

}  // namespace

Int8Matrix QuantizeInt8(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size) {
  CheckShape(rows, n, k, group_size);
  const int64_t groups = (k + group_size - 1) / group_size;
  Int8Matrix out{n, k, group_size, {}, {}};
  out.codes.resize(static_cast<size_t>(n * k));
  out.scale.resize(static_cast<size_t>(n * groups));
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t begin = row * k + g * group_size;
      const int64_t count = std::min(group_size, k - g * group_size);
      const Range range = RangeOf(rows.data() + begin, count);
      float scale = std::max(-range.min, range.max) / 127.0f;
      if (scale == 0.0f) scale = 1.0f;
      if (!Finite(range)) scale = std::numeric_limits<float>::quiet_NaN();
      out.scale[static_cast<size_t>(row * groups + g)] = scale;
      EncodeGroup(rows.data() + begin, count, 0.0f, scale, -127, 127, 0, out.codes.data() + begin);
    }
  }
  return out;
}

Int4Matrix QuantizeInt4(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size, Int4Offset offset) {
  return QuantizeInt4(rows, n, k, group_size, offset, ScaleStorage::kFp16);
}

Int4Matrix QuantizeInt4(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size, Int4Offset offset,
                        ScaleStorage storage) {
  CheckShape(rows, n, k, group_size);
  Int4Matrix out;
  out.n = n;
  out.k = k;
  out.group_size = group_size;
  out.offset = offset;
  out.fp16_exact = storage == ScaleStorage::kFp16;
  const int64_t groups = out.num_groups();
  out.codes.resize(static_cast<size_t>(n * k));
  out.scale.resize(static_cast<size_t>(n * groups));
  if (offset == Int4Offset::kZero) out.zero.resize(out.scale.size());
  if (offset == Int4Offset::kMin) out.min.resize(out.scale.size());
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t begin = row * k + g * group_size;
      const int64_t count = std::min(group_size, k - g * group_size);
      const GroupGrid grid = FitGroup(RangeOf(rows.data() + begin, count), offset, storage);
      const size_t index = static_cast<size_t>(row * groups + g);
      out.scale[index] = grid.scale;
      if (offset == Int4Offset::kZero) out.zero[index] = static_cast<uint8_t>(grid.zero);
      if (offset == Int4Offset::kMin) out.min[index] = grid.min;
      EncodeInt4Group(rows.data() + begin, count, offset, grid, out.codes.data() + begin);
    }
  }
  return out;
}

void Dequantize(const Int8Matrix& matrix, float* out) {
  const int64_t groups = (matrix.k + matrix.group_size - 1) / matrix.group_size;
  for (int64_t row = 0; row < matrix.n; ++row) {
    for (int64_t i = 0; i < matrix.k; ++i) {
      const float scale = matrix.scale[static_cast<size_t>(row * groups + i / matrix.group_size)];
      out[row * matrix.k + i] = scale * static_cast<float>(matrix.codes[static_cast<size_t>(row * matrix.k + i)]);
    }
  }
}

void Dequantize(const Int4Matrix& matrix, float* out) {
  const int64_t groups = matrix.num_groups();
  for (int64_t row = 0; row < matrix.n; ++row) {
    for (int64_t i = 0; i < matrix.k; ++i) {
      const size_t group = static_cast<size_t>(row * groups + i / matrix.group_size);
      const int code = matrix.codes[static_cast<size_t>(row * matrix.k + i)];
      float& w = out[row * matrix.k + i];
      switch (matrix.offset) {
        case Int4Offset::kSymmetric:
          w = matrix.scale[group] * static_cast<float>(code - 8);
          break;
        case Int4Offset::kZero:
          w = matrix.scale[group] * static_cast<float>(code - matrix.zero[group]);
          break;
        case Int4Offset::kMin:
          w = matrix.scale[group] * static_cast<float>(code) + matrix.min[group];
          break;
      }
    }
  }
}

}  // namespace bitrate
