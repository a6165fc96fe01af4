// int8 x int8 with AVX512-VNNI. dpbusd wants one unsigned operand: weights are flipped to w + 128 on the fly and the
// accumulators start at -128 times the group's activation sum. Exact for every code.
#include "engine/backend/cpu/kernels/linear_avx512.h"
#include "engine/backend/cpu/kernels/linear_simd_avx512.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"

namespace bitrate::linear::avx512 {
namespace {

constexpr int kVectors = 4;       // of 16 rows in a panel
constexpr int64_t kBlockK = 128;  // 8 KiB of codes stay in L1 while the tiles of M walk them, beside the next 8
constexpr int64_t kBlockBytes = kBlockK * kPanelRows;
constexpr int kMaxRows = 8;

__m512i Broadcast4(const int8_t* codes) {
  int32_t value;
  __builtin_memcpy(&value, codes, sizeof(value));
  return _mm512_set1_epi32(value);
}

enum class Kind { kChannel, kToken, kGroup };

// dot [M][V] += i32 sums over [k, k + count), count a multiple of 4.
template <int kV, int kM>
BITRATE_INLINE inline void Dot(const int8_t* w, const int8_t* x, int64_t ld, int64_t count, __m512i (&dot)[kM][kV]) {
  const __m512i flip = _mm512_set1_epi8(-128);
  for (int64_t k = 0; k < count; k += 4, w += kPanelRows * 4) {
    if constexpr (kV < kVectors) {  // the hardware's prefetchers do not follow stripes of a panel
      StaticFor<kV>([&](auto v) BITRATE_INLINE {
        _mm_prefetch(reinterpret_cast<const char*>(w) + kBlockBytes + v * 64, _MM_HINT_T0);
      });
    }
    __m512i codes[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE { codes[v] = _mm512_xor_si512(_mm512_loadu_si512(w + v * 64), flip); });
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const __m512i xi = Broadcast4(x + i * ld + k);
      StaticFor<kV>([&](auto v) BITRATE_INLINE { dot[i][v] = _mm512_dpbusd_epi32(dot[i][v], codes[v], xi); });
    });
  }
}

// K values [begin, end) (whole groups) of V vectors for M rows. For kToken `out` collects i32 sums.
template <Kind kKind, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, int vector, float* out) {
  const int8_t* codes = static_cast<const int8_t*>(x.codes);
  constexpr int64_t kGroup = kKind == Kind::kGroup ? 32 : kKind == Kind::kChannel ? 64 : kBlockK;
  for (int64_t k = begin; k < end; k += kGroup) {
    const int64_t count = end - k < kGroup ? end - k : kGroup;
    __m512i dot[kM][kV];
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const int32_t sum = kKind == Kind::kToken ? 0 : x.sum[i * x.num_groups + k / kGroup];
      StaticFor<kV>([&](auto v) BITRATE_INLINE { dot[i][v] = _mm512_set1_epi32(-128 * sum); });
    });
    Dot<kV, kM>(static_cast<const int8_t*>(p.codes) + k * kPanelRows + vector * 64, codes + k, x.ld, count, dot);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      __m512 w_scale = _mm512_set1_ps(0.0f);
      if constexpr (kKind == Kind::kGroup) {
        w_scale = Avx512::LoadFp16(static_cast<const uint16_t*>(p.scale) + k / kGroup * kPanelRows + (vector + v) * 16);
      }
      StaticFor<kM>([&](auto i) BITRATE_INLINE {
        float* target = out + i * kPanelRows + (vector + v) * 16;
        const __m512 old = _mm512_loadu_ps(target);
        if constexpr (kKind == Kind::kToken) {
          const __m512i sum = _mm512_add_epi32(_mm512_castps_si512(old), dot[i][v]);
          _mm512_storeu_ps(target, _mm512_castsi512_ps(sum));
        } else {
          __m512 scale = _mm512_set1_ps(x.scale[i * x.num_groups + k / kGroup]);
          if constexpr (kKind == Kind::kGroup) scale = _mm512_mul_ps(w_scale, scale);
          _mm512_storeu_ps(target, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i][v]), scale, old));
        }
      });
    });
  }
}

// The scales that a whole row shares, and for kToken the whole row's compensation.
template <Kind kKind>
void Finish(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      float* target = out + i * kPanelRows + v * 16;
      __m512 acc = _mm512_loadu_ps(target);
      if constexpr (kKind == Kind::kToken) {
        // Modulo 2^32: the flipped sum may pass 2^31 where the true one cannot.
        const uint32_t shift = 128u * static_cast<uint32_t>(x.sum[i]);
        const __m512i shifts = _mm512_set1_epi32(static_cast<int32_t>(shift));
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(acc), shifts));
        acc = _mm512_fmadd_ps(dot, _mm512_set1_ps(x.scale[i]), _mm512_set1_ps(0.0f));
      }
      const __m512 scale = _mm512_loadu_ps(static_cast<const float*>(p.scale) + v * 16);
      _mm512_storeu_ps(target, _mm512_mul_ps(acc, scale));
    }
  }
}

constexpr int VectorsFor(int m) { return m <= 4 ? 4 : 2; }

template <Kind kKind>
void Int8Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m * kPanelRows; i += 16) _mm512_storeu_ps(out + i, _mm512_set1_ps(0.0f));
  // Half of the last 64 of a Q8_0 head may be padding without a scale.
  const int64_t limit = kKind == Kind::kGroup ? p.k : (p.k + 63) / 64 * 64;
  const int tiles = (m + kMaxRows - 1) / kMaxRows;
  for (int64_t k = 0; k < limit; k += kBlockK) {
    const int64_t end = k + kBlockK < limit ? k + kBlockK : limit;
    for (int t = 0, row = 0; t < tiles; ++t) {
      const int rows = m / tiles + (t < m % tiles ? 1 : 0);
      Int8Rows part = x;
      part.codes = static_cast<const int8_t*>(x.codes) + row * x.ld;
      part.scale += row * x.num_groups;
      part.sum += row * x.num_groups;
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
  table.s8_code_bytes = 1;
  table.int8_channel = Int8Panel<Kind::kChannel>;
  table.int8_token = Int8Panel<Kind::kToken>;
  table.int8_group = Int8Panel<Kind::kGroup>;
}

}  // namespace bitrate::linear::avx512
