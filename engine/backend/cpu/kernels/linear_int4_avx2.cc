// int4 x int8 on AVX2: maddubs(u4, s8) pairs reach at most 2 * 15 * 127 = 3810 in an i16 lane, so the eight of 32 k
// (one group of 32) are summed in i16 before one madd widens them.
#include <immintrin.h>

#include <cstdint>

#include "engine/backend/cpu/kernels/linear_avx2.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "engine/format/group_quant.h"

namespace bitrate::linear::avx2 {
namespace {

constexpr int kVectors = 8;       // of 8 rows in a panel
constexpr int64_t kBlockK = 256;  // 8 KiB of codes stay in L1 while the tiles of M walk them
constexpr int64_t kBlockBytes = kBlockK * kPanelRows / 2;
constexpr int kMaxRows = 6;
constexpr int64_t kUnit = 32;

__m256 LoadPlane(const Panel& p, const void* plane, int64_t index) {
  if (p.f32_planes) return _mm256_loadu_ps(static_cast<const float*>(plane) + index);
  const auto* halves = static_cast<const uint16_t*>(plane) + index;
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}

// Four activation codes to every lane.
__m256i Broadcast4(const int8_t* codes) {
  int32_t value;
  __builtin_memcpy(&value, codes, sizeof(value));
  return _mm256_set1_epi32(value);
}

// dot [M][V] = sums over 32 values of k, i32.
template <int kV, int kM>
BITRATE_INLINE inline void DotUnit(const uint8_t* w, const int8_t* x, int64_t ld, __m256i (&dot)[kM][kV]) {
  const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i sum[kM][kV];
  StaticFor<4>([&](auto step) BITRATE_INLINE {
    // What comes after this K block; the hardware's prefetchers do not follow stripes of a panel.
    StaticFor<(kV + 1) / 2>([&](auto line) BITRATE_INLINE {
      _mm_prefetch(reinterpret_cast<const char*>(w) + kBlockBytes + step * kPanelRows * 4 + line * 64, _MM_HINT_T0);
    });
    __m256i low[kV], high[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + step * kPanelRows * 4 + v * 32));
      low[v] = _mm256_and_si256(codes, mask);
      high[v] = _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask);
    });
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const __m256i x_low = Broadcast4(x + i * ld + step * 8), x_high = Broadcast4(x + i * ld + step * 8 + 4);
      StaticFor<kV>([&](auto v) BITRATE_INLINE {
        const __m256i product = _mm256_maddubs_epi16(low[v], x_low);
        if constexpr (decltype(step)::value == 0) {
          sum[i][v] = product;
        } else {
          sum[i][v] = _mm256_add_epi16(sum[i][v], product);
        }
        Keep(sum[i][v]);
        sum[i][v] = _mm256_add_epi16(sum[i][v], _mm256_maddubs_epi16(high[v], x_high));
        Keep(sum[i][v]);
      });
    });
  });
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kV>([&](auto v) BITRATE_INLINE { dot[i][v] = _mm256_madd_epi16(sum[i][v], ones); });
  });
}

// out [M][64] += the group's dots times their scales, for V vectors.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_INLINE inline void AddGroup(const Panel& p, const Int8Rows& x, int64_t g, int vector,
                                    const __m256i (&dot)[kM][kV], float* out) {
  StaticFor<kV>([&](auto v) BITRATE_INLINE {
    const int64_t index = g * kPanelRows + (vector + v) * 8;
    const __m256 scale = LoadPlane(p, p.scale, index);
    __m256i zero = _mm256_set1_epi32(8);
    __m256 min = scale;
    if constexpr (kOffset == Int4Offset::kZero) {
      const auto* bytes = reinterpret_cast<const __m128i*>(static_cast<const uint8_t*>(p.offset) + index);
      zero = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes));
    }
    if constexpr (kOffset == Int4Offset::kMin) min = LoadPlane(p, p.offset, index);
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const int64_t at = i * x.num_groups + g;
      float* target = out + i * kPanelRows + (vector + v) * 8;
      __m256i value = dot[i][v];
      if constexpr (kOffset == Int4Offset::kSymmetric) {
        value = _mm256_sub_epi32(value, _mm256_set1_epi32(8 * x.sum[at]));
      }
      if constexpr (kOffset == Int4Offset::kZero) {
        // A group's sum fits i16, so madd (the upper halves of `zero` are 0) is a cheap 32-bit multiply.
        value = _mm256_sub_epi32(value, _mm256_madd_epi16(zero, _mm256_set1_epi32(x.sum[at] & 0xffff)));
      }
      const __m256 x_scale = _mm256_set1_ps(x.scale[at]);
      __m256 acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(value), _mm256_mul_ps(scale, x_scale), _mm256_load_ps(target));
      if constexpr (kOffset == Int4Offset::kMin) {
        acc = _mm256_fmadd_ps(min, _mm256_set1_ps(x.scale[at] * static_cast<float>(x.sum[at])), acc);
      }
      _mm256_store_ps(target, acc);
    });
  });
}

// Groups [begin, end) of V vectors for M rows.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, int vector, float* out) {
  const int8_t* codes = static_cast<const int8_t*>(x.codes);
  for (int64_t g = begin; g < end; ++g) {
    const int64_t k = g * p.group_size, rest = p.k - k;
    const int64_t units = ((rest < p.group_size ? rest : p.group_size) + kUnit - 1) / kUnit;
    const uint8_t* w = static_cast<const uint8_t*>(p.codes) + k * (kPanelRows / 2) + vector * 32;
    __m256i dot[kM][kV];
    DotUnit<kV, kM>(w, codes + k, x.ld, dot);
    for (int64_t u = 1; u < units; ++u) {
      __m256i more[kM][kV];
      DotUnit<kV, kM>(w + u * kUnit * (kPanelRows / 2), codes + k + u * kUnit, x.ld, more);
      StaticFor<kM>([&](auto i) BITRATE_INLINE {
        StaticFor<kV>([&](auto v) BITRATE_INLINE { dot[i][v] = _mm256_add_epi32(dot[i][v], more[i][v]); });
      });
    }
    AddGroup<kOffset, kV, kM>(p, x, g, vector, dot, out);
  }
}

constexpr int VectorsFor(int m) { return m == 1 ? 4 : 2; }

template <Int4Offset kOffset>
void Int4Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m * kPanelRows; i += 8) _mm256_store_ps(out + i, _mm256_setzero_ps());
  const int64_t step = p.group_size >= kBlockK ? 1 : kBlockK / p.group_size;
  const int tiles = (m + kMaxRows - 1) / kMaxRows;
  for (int64_t g = 0; g < x.num_groups; g += step) {
    const int64_t end = g + step < x.num_groups ? g + step : x.num_groups;
    for (int t = 0, row = 0; t < tiles; ++t) {
      const int rows = m / tiles + (t < m % tiles ? 1 : 0);
      Int8Rows part = x;
      part.codes = static_cast<const int8_t*>(x.codes) + row * x.ld;
      part.scale += row * x.num_groups;
      part.sum += row * x.num_groups;
      StaticFor<kMaxRows>([&](auto j) BITRATE_INLINE {
        constexpr int kM = decltype(j)::value + 1, kV = VectorsFor(kM);
        if (rows != kM) return;
        for (int v = 0; v < kVectors; v += kV) Tile<kOffset, kV, kM>(p, part, g, end, v, out + row * kPanelRows);
      });
      row += rows;
    }
  }
}

}  // namespace

void FillInt4(LinearKernels& table) {
  StaticFor<3>([&](auto j) BITRATE_INLINE {
    constexpr Int4Offset kOffset = static_cast<Int4Offset>(decltype(j)::value);
    table.int4[decltype(j)::value] = Int4Panel<kOffset>;
  });
}

}  // namespace bitrate::linear::avx2
