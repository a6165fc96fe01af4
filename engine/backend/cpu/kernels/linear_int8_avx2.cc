// int8 x int8 on AVX2 without VNNI. Many rows: weights sign-extended to i16 once for all of them, activations stored as
// i16 codes, madd to i32. One row: maddubs of |w| and x with w's sign, whose pairs reach at most 2 * 128 * 127 = 32512,
// so that it does not saturate either. Both are exact for every code.
#include <immintrin.h>

#include <cstdint>

#include "engine/backend/cpu/kernels/linear_avx2.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "engine/format/group_quant.h"

namespace bitrate::linear::avx2 {
namespace {

constexpr int kVectors = 8;       // of 8 rows in a panel
constexpr int64_t kBlockK = 128;  // 8 KiB of codes stay in L1 while the tiles of M walk them, beside the next 8
constexpr int64_t kBlockBytes = kBlockK * kPanelRows;
constexpr int kMaxRows = 6;

// Four i16 activation codes to every 64 bits.
__m256i Broadcast4(const int16_t* codes) {
  int64_t value;
  __builtin_memcpy(&value, codes, sizeof(value));
  return _mm256_set1_epi64x(value);
}

__m256i Widen(const int8_t* codes) {
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(codes)));
}

// dot [M][V] = i32 sums over [k, k + count), count a multiple of 4; the vector is 8 rows. A panel's 16 bytes are four
// rows of four k, so madd leaves two partial sums a row, joined at the end.
template <int kV, int kM>
BITRATE_INLINE inline void Dot(const int8_t* w, const int16_t* x, int64_t ld, int64_t count, __m256i (&dot)[kM][kV]) {
  __m256i first[kM][kV], second[kM][kV];
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kV>([&](auto v) BITRATE_INLINE { first[i][v] = second[i][v] = _mm256_setzero_si256(); });
  });
  for (int64_t k = 0; k < count; k += 4, w += kPanelRows * 4) {
    // What comes after this K block; the hardware's prefetchers do not follow stripes of a panel.
    StaticFor<(kV + 1) / 2>([&](auto line) BITRATE_INLINE {
      _mm_prefetch(reinterpret_cast<const char*>(w) + kBlockBytes + line * 64, _MM_HINT_T0);
    });
    __m256i a[kV], b[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      a[v] = Widen(w + v * 32);
      b[v] = Widen(w + v * 32 + 16);
    });
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const __m256i xi = Broadcast4(x + i * ld + k);
      StaticFor<kV>([&](auto v) BITRATE_INLINE {
        first[i][v] = _mm256_add_epi32(first[i][v], _mm256_madd_epi16(a[v], xi));
        Keep(first[i][v]);
        second[i][v] = _mm256_add_epi32(second[i][v], _mm256_madd_epi16(b[v], xi));
        Keep(second[i][v]);
      });
    });
  }
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      // Lanes after hadd: rows 0 1 4 5 | 2 3 6 7.
      dot[i][v] = _mm256_permute4x64_epi64(_mm256_hadd_epi32(first[i][v], second[i][v]), 0xd8);
    });
  });
}

// The same sums for one row, over whole panels in order. What comes is asked for ahead of the hardware's prefetchers.
BITRATE_INLINE inline void DotRow(const int8_t* w, const int16_t* x, int64_t count, __m256i (&dot)[1][kVectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
  StaticFor<kVectors>([&](auto v) BITRATE_INLINE { dot[0][v] = _mm256_setzero_si256(); });
  for (int64_t k = 0; k < count; k += 4, w += kPanelRows * 4) {
    StaticFor<kPanelRows * 4 / 64>([&](auto line) BITRATE_INLINE {
      _mm_prefetch(reinterpret_cast<const char*>(w) + kBlockBytes + line * 64, _MM_HINT_T1);
    });
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + k));
    const __m256i xi = _mm256_broadcastd_epi32(_mm_packs_epi16(codes, codes));
    StaticFor<kVectors>([&](auto v) BITRATE_INLINE {
      const __m256i wi = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + v * 32));
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(wi), _mm256_sign_epi8(xi, wi));
      dot[0][v] = _mm256_add_epi32(dot[0][v], _mm256_madd_epi16(pairs, ones));
      Keep(dot[0][v]);
    });
  }
}

enum class Kind { kChannel, kToken, kGroup };

// K values [begin, end) (whole groups) of V vectors for M rows. For kToken `out` collects i32 sums.
template <Kind kKind, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, int vector, float* out) {
  const int16_t* codes = static_cast<const int16_t*>(x.codes);
  constexpr int64_t kGroup = kKind == Kind::kGroup ? 32 : kKind == Kind::kChannel ? 64 : kBlockK;
  for (int64_t k = begin; k < end; k += kGroup) {
    const int64_t count = end - k < kGroup ? end - k : kGroup;
    __m256i dot[kM][kV];
    const int8_t* w = static_cast<const int8_t*>(p.codes) + k * kPanelRows + vector * 32;
    if constexpr (kM == 1) {
      DotRow(w, codes + k, count, dot);
    } else {
      Dot<kV, kM>(w, codes + k, x.ld, count, dot);
    }
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      __m256 w_scale = _mm256_setzero_ps();
      if constexpr (kKind == Kind::kGroup) {
        const auto* halves = static_cast<const uint16_t*>(p.scale) + k / kGroup * kPanelRows + (vector + v) * 8;
        w_scale = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(halves)));
      }
      StaticFor<kM>([&](auto i) BITRATE_INLINE {
        float* target = out + i * kPanelRows + (vector + v) * 8;
        if constexpr (kKind == Kind::kToken) {
          __m256i* sums = reinterpret_cast<__m256i*>(target);
          _mm256_store_si256(sums, _mm256_add_epi32(_mm256_load_si256(sums), dot[i][v]));
        } else {
          __m256 scale = _mm256_set1_ps(x.scale[i * x.num_groups + k / kGroup]);
          if constexpr (kKind == Kind::kGroup) scale = _mm256_mul_ps(w_scale, scale);
          const __m256 acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[i][v]), scale, _mm256_load_ps(target));
          _mm256_store_ps(target, acc);
        }
      });
    });
  }
}

// The scales that a whole row shares.
template <Kind kKind>
void Finish(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      float* target = out + i * kPanelRows + v * 8;
      __m256 acc = _mm256_load_ps(target);
      if constexpr (kKind == Kind::kToken) {
        const __m256 dot = _mm256_cvtepi32_ps(_mm256_castps_si256(acc));
        acc = _mm256_fmadd_ps(dot, _mm256_set1_ps(x.scale[i]), _mm256_setzero_ps());
      }
      _mm256_store_ps(target, _mm256_mul_ps(acc, _mm256_loadu_ps(static_cast<const float*>(p.scale) + v * 8)));
    }
  }
}

constexpr int VectorsFor(int m) { return m == 1 ? kVectors : m == 2 ? 2 : 1; }

template <Kind kKind>
void Int8Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m * kPanelRows; i += 8) _mm256_store_ps(out + i, _mm256_setzero_ps());
  const int64_t padded = (p.k + 63) / 64 * 64;
  // A short last group of a Q8_0 head does not exist, but half of its last 64 may be padding without a scale.
  const int64_t limit = kKind == Kind::kGroup ? p.k : padded;
  const int tiles = (m + kMaxRows - 1) / kMaxRows;
  const int64_t step = m == 1 ? limit : kBlockK;  // one row needs no blocks
  for (int64_t k = 0; k < limit; k += step) {
    const int64_t end = k + step < limit ? k + step : limit;
    for (int t = 0, row = 0; t < tiles; ++t) {
      const int rows = m / tiles + (t < m % tiles ? 1 : 0);
      Int8Rows part = x;
      part.codes = static_cast<const int16_t*>(x.codes) + row * x.ld;
      part.scale += row * x.num_groups;
      StaticFor<kMaxRows>([&](auto j) BITRATE_INLINE {
        constexpr int kM = decltype(j)::value + 1, kV = VectorsFor(kM);
        if (rows != kM) return;
        for (int v = 0; v < kVectors; v += kV) Tile<kKind, kV, kM>(p, part, k, end, v, out + row * kPanelRows);
      });
      row += rows;
    }
  }
  if constexpr (kKind != Kind::kGroup) Finish<kKind>(p, x, m, out);
}

}  // namespace

void FillInt8(LinearKernels& table) {
  table.s8_code_bytes = 2;
  table.int8_channel = Int8Panel<Kind::kChannel>;
  table.int8_token = Int8Panel<Kind::kToken>;
  table.int8_group = Int8Panel<Kind::kGroup>;
}

}  // namespace bitrate::linear::avx2
