// The two halves of a low-rank update of one row over the 16-lane vectors. Each element of t is one chain of fma over
// K in steps of 16 lanes, ascending, then V::ReduceAdd, then the scale; each element of y gets one chain of fma over
// the rank, ascending from zero, added at the end. So a row's bits depend on nothing but the row.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LOW_RANK_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LOW_RANK_KERNELS_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/vec_elementwise.h"

namespace bitrate {

// Rows of A at once: their chains hide one another's latency.
template <typename V, int kRows>
inline void DotRows(const float* a, const float* x, int64_t k, float scale, float* t) {
  V sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = V::Set(0.0f);
  for (int64_t i = 0; i < k; i += V::kLanes) {
    const V v = LoadUpTo<V>(x + i, k - i);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sum[r] = V::Fma(LoadUpTo<V>(a + r * k + i, k - i), v, sum[r]);
  }
  for (int r = 0; r < kRows; ++r) t[r] = scale * V::ReduceAdd(sum[r]);
}

template <typename V>
void LowRankDownRow(const float* a, const float* x, int64_t rank, int64_t k, float scale, float* t) {
  int64_t r = 0;
  for (; r + 4 <= rank; r += 4) DotRows<V, 4>(a + r * k, x, k, scale, t + r);
  for (; r < rank; ++r) DotRows<V, 1>(a + r * k, x, k, scale, t + r);
}

template <typename V>
void LowRankUpRow(const float* b, const float* t, int64_t rank, int64_t n, float* y) {
  constexpr int kColumns = 4;
  int64_t i = 0;
  for (; i + kColumns * V::kLanes <= n; i += kColumns * V::kLanes) {
    V sum[kColumns];
    for (int c = 0; c < kColumns; ++c) sum[c] = V::Set(0.0f);
    for (int64_t r = 0; r < rank; ++r) {
      const V factor = V::Set(t[r]);
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) sum[c] = V::Fma(factor, V::Load(b + r * n + i + c * V::kLanes), sum[c]);
    }
    for (int c = 0; c < kColumns; ++c) {
      float* target = y + i + c * V::kLanes;
      V::Store(target, V::Add(V::Load(target), sum[c]));
    }
  }
  for (; i < n; i += V::kLanes) {
    V sum = V::Set(0.0f);
    for (int64_t r = 0; r < rank; ++r) sum = V::Fma(V::Set(t[r]), LoadUpTo<V>(b + r * n + i, n - i), sum);
    StoreUpTo(y + i, V::Add(LoadUpTo<V>(y + i, n - i), sum), n - i);
  }
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LOW_RANK_KERNELS_H_
