// RMSNorm of one row over the 16-lane vectors. The sum of squares has 64 partial sums (element i goes to partial i %
// 64, ascending, by fma), added as (p0 + p1) + (p2 + p3) over groups of 16 and then as V::ReduceAdd.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_NORM_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_NORM_KERNELS_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/vec_elementwise.h"

namespace bitrate {

template <typename V>
inline float SumOfSquares(const float* x, int64_t width) {
  constexpr int kParts = 4;
  V part[kParts] = {V::Set(0.0f), V::Set(0.0f), V::Set(0.0f), V::Set(0.0f)};
  int64_t i = 0;
  for (; i + kParts * V::kLanes <= width; i += kParts * V::kLanes) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      const V v = V::Load(x + i + p * V::kLanes);
      part[p] = V::Fma(v, v, part[p]);
    }
  }
  for (int p = 0; i < width; i += V::kLanes, ++p) {
    const V v = LoadUpTo<V>(x + i, width - i);  // lanes past the end are zero and add nothing
    part[p] = V::Fma(v, v, part[p]);
  }
  return V::ReduceAdd(V::Add(V::Add(part[0], part[1]), V::Add(part[2], part[3])));
}

template <typename V>
void RmsNormRow(const float* x, const float* weight, float eps, int64_t width, float* y) {
  const float mean = SumOfSquares<V>(x, width) / static_cast<float>(width);
  const V inverse = V::Set(1.0f / __builtin_sqrtf(mean + eps));
  for (int64_t i = 0; i < width; i += V::kLanes) {
    const V scaled = V::Mul(LoadUpTo<V>(x + i, width - i), inverse);
    StoreUpTo(y + i, V::Mul(scaled, LoadUpTo<V>(weight + i, width - i)), width - i);
  }
}

template <typename V>
void AddRmsNormRow(float* x, const float* delta, const float* weight, float eps, int64_t width, float* y) {
  AddRow<V>(x, delta, width);
  RmsNormRow<V>(x, weight, eps, width, y);
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_NORM_KERNELS_H_
