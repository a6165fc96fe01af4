// Rotary embedding of one head over the 16-lane vectors: half-split (NEOX) pairs.
//   a' = fma(a, cos, -(b * sin)), b' = fma(b, cos, a * sin)
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_ROPE_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_ROPE_KERNELS_H_

#include "engine/backend/cpu/kernels/vec_elementwise.h"

namespace bitrate {

template <typename V>
void RopeRow(float* x, const float* cos, const float* sin, int half) {
  const V zero = V::Set(0.0f);
  for (int i = 0; i < half; i += V::kLanes) {
    const V a = LoadUpTo<V>(x + i, half - i);
    const V b = LoadUpTo<V>(x + half + i, half - i);
    const V c = LoadUpTo<V>(cos + i, half - i);
    const V s = LoadUpTo<V>(sin + i, half - i);
    const V turned_a = V::Fma(a, c, V::Sub(zero, V::Mul(b, s)));
    const V turned_b = V::Fma(b, c, V::Mul(a, s));
    StoreUpTo(x + i, turned_a, half - i);
    StoreUpTo(x + half + i, turned_b, half - i);
  }
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_ROPE_KERNELS_H_
