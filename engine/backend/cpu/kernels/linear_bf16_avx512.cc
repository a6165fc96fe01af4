// bf16 x bf16 with AVX512-BF16: dpbf16 adds the products of two k to each f32 accumulator, in the promised K blocks.
// Rows of x are bf16, zero past K, as the panel is: an odd K needs no special case.
#include "engine/backend/cpu/kernels/linear_avx2.h"
#include "engine/backend/cpu/kernels/linear_avx512.h"
#include "engine/backend/cpu/kernels/linear_simd_avx512.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"

namespace bitrate::linear::avx512 {
namespace {

constexpr int kVectors = 4;
constexpr int kMaxRows = 6;
constexpr int64_t kSubBlockK = 128;  // 16 KiB of weights stay in L1 while the tiles of M walk them

__m512i BroadcastPair(const uint16_t* x) {
  int32_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm512_set1_epi32(value);
}

// out [M, 64] += x [M, begin .. end) * panel.
template <int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const uint16_t* x, int64_t ldx, int64_t begin, int64_t end, float* out) {
  __m512 acc[kM][kVectors];
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kVectors>([&](auto v) BITRATE_INLINE { acc[i][v] = _mm512_loadu_ps(out + i * kPanelRows + v * 16); });
  });
  const uint16_t* codes = static_cast<const uint16_t*>(p.codes);
  for (int64_t k = begin; k < end; k += 2) {
    __m512i w[kVectors];
    StaticFor<kVectors>([&](auto v) BITRATE_INLINE { w[v] = _mm512_loadu_si512(codes + k * kPanelRows + v * 32); });
    StaticFor<kM>([&](auto i) BITRATE_INLINE {
      const __m512i pair = BroadcastPair(x + i * ldx + k);
      StaticFor<kVectors>(
          [&](auto v) BITRATE_INLINE { acc[i][v] = _mm512_dpbf16_ps(acc[i][v], (__m512bh)pair, (__m512bh)w[v]); });
    });
  }
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kVectors>([&](auto v) BITRATE_INLINE { _mm512_storeu_ps(out + i * kPanelRows + v * 16, acc[i][v]); });
  });
}

void Bf16Panel(const Panel& p, const void* rows, int64_t ldx, int m, float* out) {
  const uint16_t* x = static_cast<const uint16_t*>(rows);
  alignas(64) float acc[kChunkRows * kPanelRows];
  const int count = m * kPanelRows, tiles = (m + kMaxRows - 1) / kMaxRows;
  for (int i = 0; i < count; ++i) out[i] = 0.0f;
  for (int64_t begin = 0; begin < p.k; begin += BlockK(p.k)) {
    const int64_t end = begin + BlockK(p.k) < p.k ? begin + BlockK(p.k) : p.k;
    const int64_t step = tiles == 1 ? BlockK(p.k) : kSubBlockK;
    for (int i = 0; i < count; ++i) acc[i] = 0.0f;
    for (int64_t sub = begin; sub < end; sub += step) {
      const int64_t sub_end = sub + step < end ? sub + step : end;
      for (int t = 0, row = 0; t < tiles; ++t) {
        const int tile_rows = m / tiles + (t < m % tiles ? 1 : 0);
        StaticFor<kMaxRows>([&](auto j) BITRATE_INLINE {
          constexpr int kM = decltype(j)::value + 1;
          if (tile_rows == kM) Tile<kM>(p, x + row * ldx, ldx, sub, sub_end, acc + row * kPanelRows);
        });
        row += tile_rows;
      }
    }
    for (int i = 0; i < count; ++i) out[i] += acc[i];
  }
}

}  // namespace

void FillBf16(LinearKernels& table) {
  table.bf16_dot = true;
  table.round_bf16 = avx2::RoundToBf16;
  table.bf16 = Bf16Panel;
}

}  // namespace bitrate::linear::avx512
