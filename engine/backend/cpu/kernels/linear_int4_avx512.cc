// int4 x int8 with AVX512-VNNI: unsigned nibbles feed dpbusd as they are. One 64-byte vector is 16 rows of 8 k, two
// dpbusd. The offset of the codes costs nothing: accumulators start at -8 (or -zero) times the activation sum.
#include "engine/backend/cpu/kernels/linear_avx512.h"
#include "engine/backend/cpu/kernels/linear_simd_avx512.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "engine/format/group_quant.h"

namespace bitrate::linear::avx512 {
namespace {

constexpr int kVectors = 4;       // of 16 rows in a panel
constexpr int64_t kBlockK = 256;  // 8 KiB of codes stay in L1 while the tiles of M walk them
constexpr int64_t kBlockBytes = kBlockK * kPanelRows / 2;
constexpr int kMaxRows = 8;

__m512 LoadPlane(const Panel& p, const void* plane, int64_t index) {
  if (p.f32_planes) return _mm512_loadu_ps(static_cast<const float*>(plane) + index);
  return Avx512::LoadFp16(static_cast<const uint16_t*>(plane) + index);
}

__m512i Broadcast4(const int8_t* codes) {
  int32_t value;
  __builtin_memcpy(&value, codes, sizeof(value));
  return _mm512_set1_epi32(value);
}

// dot [M][V] = what the offset takes off each dot of group g.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_INLINE inline void Start(const Panel& p, const Int8Rows& x, int64_t g, int vector, __m512i (&dot)[kM][kV]) {
  StaticFor<kV>([&](auto v) BITRATE_INLINE {
    __m512i zero = _mm512_set1_epi32(8);
    if constexpr (kOffset == Int4Offset::kZero) {
      zero = Avx512::LoadU8(static_cast<const uint8_t*>(p.offset) + g * kPanelRows + (vector + v) * 16);
    }
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const int32_t sum = x.sum[i * x.num_groups + g];
      if constexpr (kOffset == Int4Offset::kSymmetric) dot[i][v] = _mm512_set1_epi32(-8 * sum);
      if constexpr (kOffset == Int4Offset::kZero) dot[i][v] = _mm512_mullo_epi32(zero, _mm512_set1_epi32(-sum));
      if constexpr (kOffset == Int4Offset::kMin) dot[i][v] = _mm512_set1_epi32(0);
    });
  });
}

template <int kV, int kM>
BITRATE_INLINE inline void Dot(const uint8_t* w, const int8_t* x, int64_t ld, int64_t count, __m512i (&dot)[kM][kV]) {
  const __m512i mask = _mm512_set1_epi8(15);
  for (int64_t k = 0; k < count; k += 8, w += kPanelRows * 4) {
    if constexpr (kV < kVectors) {  // the hardware's prefetchers do not follow stripes of a panel
      StaticFor<kV>([&](auto v) BITRATE_INLINE {
        _mm_prefetch(reinterpret_cast<const char*>(w) + kBlockBytes + v * 64, _MM_HINT_T0);
      });
    }
    __m512i low[kV], high[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      const __m512i codes = _mm512_loadu_si512(w + v * 64);
      low[v] = _mm512_and_si512(codes, mask);
      high[v] = _mm512_and_si512(_mm512_srli_epi32(codes, 4), mask);
    });
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const __m512i x_low = Broadcast4(x + i * ld + k), x_high = Broadcast4(x + i * ld + k + 4);
      StaticFor<kV>([&](auto v) BITRATE_INLINE {
        dot[i][v] = _mm512_dpbusd_epi32(dot[i][v], low[v], x_low);
        dot[i][v] = _mm512_dpbusd_epi32(dot[i][v], high[v], x_high);
      });
    });
  }
}

// Groups [begin, end) of V vectors for M rows.
template <Int4Offset kOffset, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const Int8Rows& x, int64_t begin, int64_t end, int vector, float* out) {
  const int8_t* codes = static_cast<const int8_t*>(x.codes);
  for (int64_t g = begin; g < end; ++g) {
    const int64_t k = g * p.group_size, rest = (p.k - k + 31) / 32 * 32;
    const int64_t count = rest < p.group_size ? rest : p.group_size;
    __m512i dot[kM][kV];
    Start<kOffset, kV, kM>(p, x, g, vector, dot);
    Dot<kV, kM>(static_cast<const uint8_t*>(p.codes) + k * (kPanelRows / 2) + vector * 64, codes + k, x.ld, count, dot);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      const int64_t index = g * kPanelRows + (vector + v) * 16;
      const __m512 scale = LoadPlane(p, p.scale, index);
      __m512 min = scale;
      if constexpr (kOffset == Int4Offset::kMin) min = LoadPlane(p, p.offset, index);
      StaticFor<kM>([&](auto i) BITRATE_INLINE {
        const int64_t at = i * x.num_groups + g;
        float* target = out + i * kPanelRows + (vector + v) * 16;
        const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(x.scale[at]));
        __m512 acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i][v]), factor, _mm512_loadu_ps(target));
        if constexpr (kOffset == Int4Offset::kMin) {
          acc = _mm512_fmadd_ps(min, _mm512_set1_ps(x.scale[at] * static_cast<float>(x.sum[at])), acc);
        }
        _mm512_storeu_ps(target, acc);
      });
    });
  }
}

constexpr int VectorsFor(int m) { return m <= 4 ? 4 : 2; }

template <Int4Offset kOffset>
void Int4Panel(const Panel& p, const Int8Rows& x, int m, float* out) {
  for (int i = 0; i < m * kPanelRows; i += 16) _mm512_storeu_ps(out + i, _mm512_set1_ps(0.0f));
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

}  // namespace bitrate::linear::avx512
