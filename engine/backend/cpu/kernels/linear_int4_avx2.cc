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
constexpr int kMaxRows = 6;  // 6 x 2 sums, 2 weights, a broadcast and a mask: all 16 registers
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

// sum [M][V] += the products of four k of V vectors of unsigned codes.
template <int kV, int kM>
BITRATE_INLINE inline void MultiplyAdd(const __m256i (&w)[kV], const int8_t* x, int64_t ld, __m256i (&sum)[kM][kV]) {
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    const __m256i xi = Broadcast4(x + i * ld);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      sum[i][v] = _mm256_add_epi16(sum[i][v], _mm256_maddubs_epi16(w[v], xi));
      Keep(sum[i][v]);
    });
  });
}

// What the tile will read soon. One row walks the panel in order, faster than the prefetchers bring it: ahead of them
// into L2. More rows walk a stripe, which the prefetchers do not follow: the next K block, into L1.
template <int kV>
BITRATE_INLINE inline void Prefetch(const uint8_t* codes) {
  const char* at = reinterpret_cast<const char*>(codes) + kBlockBytes;
  StaticFor<(kV + 1) / 2>([&](auto line) BITRATE_INLINE {
    if constexpr (kV == kVectors) {
      _mm_prefetch(at + line * 64, _MM_HINT_T1);
    } else {
      _mm_prefetch(at + line * 64, _MM_HINT_T0);
    }
  });
}

// sum [M][V] += the products of one unit of k.
template <int kV, int kM>
BITRATE_INLINE inline void AddUnit(const uint8_t* w, const int8_t* x, int64_t ld, __m256i (&sum)[kM][kV]) {
  const __m256i mask = _mm256_set1_epi8(15);
  StaticFor<kUnit / 8>([&](auto step) BITRATE_INLINE {
    const uint8_t* codes = w + step * kPanelRows * 4;
    Prefetch<kV>(codes);
    __m256i low[kV], high[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      low[v] = _mm256_and_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(codes + v * 32)), mask);
    });
    MultiplyAdd<kV, kM>(low, x + step * 8, ld, sum);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      const __m256i both = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + v * 32));
      high[v] = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
    });
    MultiplyAdd<kV, kM>(high, x + step * 8 + 4, ld, sum);
  });
}

// dot [M][V] = what a group's offset takes from the dot of its codes, in integers: 8 or the zero, times the sum of x.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_INLINE inline void StartGroup(const Panel& p, const Int8Rows& x, int64_t g, int vector,
                                      __m256i (&dot)[kM][kV]) {
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    const __m256i sum = _mm256_set1_epi32(x.sum[i * x.num_groups + g]);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      dot[i][v] = _mm256_setzero_si256();
      if constexpr (kOffset == Int4Offset::kSymmetric) {
        dot[i][v] = _mm256_sub_epi32(dot[i][v], _mm256_slli_epi32(sum, 3));
      }
      if constexpr (kOffset == Int4Offset::kZero) {
        const auto* zeros = static_cast<const uint8_t*>(p.offset) + g * kPanelRows + (vector + v) * 8;
        const __m256i zero = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(zeros)));
        // A group's sum fits i16, so madd (the upper halves of `zero` are 0) is a cheap 32-bit multiply.
        dot[i][v] = _mm256_sub_epi32(dot[i][v], _mm256_madd_epi16(zero, sum));
      }
    });
  });
}

// dot [M][V] += i32 sums over the units of one group.
template <int kV, int kM>
BITRATE_INLINE inline void AddUnits(const uint8_t* w, const int8_t* x, int64_t ld, int64_t units,
                                    __m256i (&dot)[kM][kV]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t u = 0; u < units; ++u, w += kUnit * kPanelRows / 2, x += kUnit) {
    __m256i sum[kM][kV];
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      StaticFor<kV>([&](auto v) BITRATE_INLINE { sum[i][v] = _mm256_setzero_si256(); });
    });
    AddUnit<kV, kM>(w, x, ld, sum);
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      StaticFor<kV>(
          [&](auto v) BITRATE_INLINE { dot[i][v] = _mm256_add_epi32(dot[i][v], _mm256_madd_epi16(sum[i][v], ones)); });
    });
  }
}

// out [M][64] += the group's dots times their scales, for V vectors.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_INLINE inline void FinishGroup(const Panel& p, const Int8Rows& x, int64_t g, int vector,
                                       const __m256i (&dot)[kM][kV], float* out) {
  StaticFor<kV>([&](auto v) BITRATE_INLINE {
    const int64_t index = g * kPanelRows + (vector + v) * 8;
    const __m256 scale = LoadPlane(p, p.scale, index);
    __m256 min = scale;
    if constexpr (kOffset == Int4Offset::kMin) min = LoadPlane(p, p.offset, index);
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const int64_t at = i * x.num_groups + g;
      float* target = out + i * kPanelRows + (vector + v) * 8;
      const __m256 x_scale = _mm256_set1_ps(x.scale[at]);
      __m256 acc =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[i][v]), _mm256_mul_ps(scale, x_scale), _mm256_load_ps(target));
      if constexpr (kOffset == Int4Offset::kMin) {
        const __m256 x_sum = _mm256_cvtepi32_ps(_mm256_set1_epi32(x.sum[at]));
        acc = _mm256_fmadd_ps(min, _mm256_mul_ps(x_scale, x_sum), acc);
      }
      _mm256_store_ps(target, acc);
    });
  });
}

// Groups [begin, end) of V vectors for M rows; `w` is the first of their weights.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, int vector, const uint8_t* w,
                           float* out) {
  const int8_t* codes = static_cast<const int8_t*>(x.codes);
  for (int64_t g = begin; g < end; ++g) {
    const int64_t k = g * p.group_size, rest = p.k - k;
    const int64_t units = ((rest < p.group_size ? rest : p.group_size) + kUnit - 1) / kUnit;
    __m256i dot[kM][kV];
    StartGroup<kOffset, kV, kM>(p, x, g, vector, dot);
    AddUnits<kV, kM>(w + (g - begin) * p.group_size * kPanelRows / 2, codes + k, x.ld, units, dot);
    FinishGroup<kOffset, kV, kM>(p, x, g, vector, dot, out);
  }
}

Int8Rows RowsFrom(const Int8Rows& x, int row) {
  Int8Rows part = x;
  part.codes = static_cast<const int8_t*>(x.codes) + row * x.ld;
  part.scale += row * x.num_groups;
  part.sum += row * x.num_groups;
  return part;
}

constexpr int VectorsFor(int m) { return m == 1 ? kVectors : m == 2 ? 4 : 2; }

// Groups [begin, end) of a whole panel for kM rows.
template <Int4Offset kOffset, int kM>
void Stripes(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, float* out) {
  constexpr int kV = VectorsFor(kM);
  const uint8_t* w = static_cast<const uint8_t*>(p.codes) + begin * p.group_size * (kPanelRows / 2);
  for (int v = 0; v < kVectors; v += kV) Tile<kOffset, kV, kM>(p, x, begin, end, v, w + v * 32, out);
}

template <Int4Offset kOffset>
void Int4Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m * kPanelRows; i += 8) _mm256_store_ps(out + i, _mm256_setzero_ps());
  const int64_t block = p.group_size >= kBlockK ? 1 : kBlockK / p.group_size;
  const int64_t step = m == 1 ? x.num_groups : block;  // one row needs no blocks
  const int tiles = (m + kMaxRows - 1) / kMaxRows;
  for (int64_t g = 0; g < x.num_groups; g += step) {
    const int64_t end = g + step < x.num_groups ? g + step : x.num_groups;
    for (int t = 0, row = 0; t < tiles; ++t) {
      const int rows = m / tiles + (t < m % tiles ? 1 : 0);
      const Int8Rows part = RowsFrom(x, row);
      StaticFor<kMaxRows>([&](auto j) BITRATE_INLINE {
        constexpr int kM = decltype(j)::value + 1;
        if (rows == kM) Stripes<kOffset, kM>(p, part, g, end, out + row * kPanelRows);
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
