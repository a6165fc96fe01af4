// Element-wise row operators over the 16-lane vectors. Each output depends on its own elements only.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_ELEMENTWISE_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_ELEMENTWISE_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/vec_math.h"

namespace bitrate {

// The first min(16, n) elements; `n` is what is left of the row.
template <typename V>
inline V LoadUpTo(const float* p, int64_t n) {
  return n >= V::kLanes ? V::Load(p) : V::LoadN(p, static_cast<int>(n));
}
template <typename V>
inline void StoreUpTo(float* p, V a, int64_t n) {
  if (n >= V::kLanes) return V::Store(p, a);
  V::StoreN(p, a, static_cast<int>(n));
}

template <typename V>
void ExpRow(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += V::kLanes) StoreUpTo(y + i, VecExp(LoadUpTo<V>(x + i, n - i)), n - i);
}

template <typename V>
void TanhRow(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += V::kLanes) StoreUpTo(y + i, VecTanh(LoadUpTo<V>(x + i, n - i)), n - i);
}

template <typename V>
void AddRow(float* x, const float* delta, int64_t n) {
  for (int64_t i = 0; i < n; i += V::kLanes) {
    StoreUpTo(x + i, V::Add(LoadUpTo<V>(x + i, n - i), LoadUpTo<V>(delta + i, n - i)), n - i);
  }
}

// gate / (1 + e^-gate) * up
template <typename V>
void SiluMulRow(const float* gate, const float* up, int64_t n, float* y) {
  const V one = V::Set(1.0f);
  const V zero = V::Set(0.0f);
  for (int64_t i = 0; i < n; i += V::kLanes) {
    const V g = LoadUpTo<V>(gate + i, n - i);
    const V silu = V::Div(g, V::Add(one, VecExp(V::Sub(zero, g))));
    StoreUpTo(y + i, V::Mul(silu, LoadUpTo<V>(up + i, n - i)), n - i);
  }
}

// gate's GELU in its tanh form (Hendrycks and Gimpel 2016, section 2), times up.
template <typename V>
void GeluTanhMulRow(const float* gate, const float* up, int64_t n, float* y) {
  const V half = V::Set(0.5f), one = V::Set(1.0f);
  const V cubic = V::Set(0.044715f), root = V::Set(0.7978845608028654f);  // sqrt(2 / pi)
  for (int64_t i = 0; i < n; i += V::kLanes) {
    const V g = LoadUpTo<V>(gate + i, n - i);
    const V inner = V::Mul(root, V::Fma(V::Mul(cubic, V::Mul(g, g)), g, g));
    const V gelu = V::Mul(V::Mul(half, g), V::Add(one, VecTanh(inner)));
    StoreUpTo(y + i, V::Mul(gelu, LoadUpTo<V>(up + i, n - i)), n - i);
  }
}

template <typename V>
void ScaleRow(float factor, int64_t n, float* x) {
  const V f = V::Set(factor);
  for (int64_t i = 0; i < n; i += V::kLanes) StoreUpTo(x + i, V::Mul(f, LoadUpTo<V>(x + i, n - i)), n - i);
}

// cap * tanh(x / cap)
template <typename V>
void SoftcapRow(float cap, int64_t n, float* x) {
  const V c = V::Set(cap);
  for (int64_t i = 0; i < n; i += V::kLanes) {
    StoreUpTo(x + i, V::Mul(c, VecTanh(V::Div(LoadUpTo<V>(x + i, n - i), c))), n - i);
  }
}

template <typename V>
void ToBf16Row(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += V::kLanes) {
    V::StoreBf16N(y + i, LoadUpTo<V>(x + i, n - i), n - i >= V::kLanes ? V::kLanes : static_cast<int>(n - i));
  }
}

template <typename V>
void ToFp16Row(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += V::kLanes) {
    V::StoreFp16N(y + i, LoadUpTo<V>(x + i, n - i), n - i >= V::kLanes ? V::kLanes : static_cast<int>(n - i));
  }
}

// codes [n] of x [n] in steps of the returned scale, max|x| / 127, to the nearest (ties to even). x that is all below
// 1e-30 is 0. A scale of NaN, with codes of 0, stands for x that holds NaN or infinity.
template <typename V>
float QuantizeI8Row(const float* x, int64_t n, int8_t* codes) {
  const V zero = V::Set(0.0f), magic = V::Set(12582912.0f);  // 1.5 * 2^23
  V largest = zero, poison = zero;
  for (int64_t i = 0; i < n; i += V::kLanes) {
    const V a = LoadUpTo<V>(x + i, n - i);
    largest = V::Max(largest, V::Max(a, V::Sub(zero, a)));
    poison = V::Fma(a, zero, poison);
  }
  const bool finite = V::ReduceAdd(poison) == 0.0f;
  const float max = V::ReduceMax(largest);
  const bool rounds_to_zero = !finite || max < 1e-30f;
  const V inverse = V::Set(rounds_to_zero ? 0.0f : 127.0f / max);
  for (int64_t i = 0; i < n; i += V::kLanes) {
    const V a = rounds_to_zero ? zero : LoadUpTo<V>(x + i, n - i);
    V::StoreI8N(codes + i, V::Fma(a, inverse, magic), n - i >= V::kLanes ? V::kLanes : static_cast<int>(n - i));
  }
  return !finite ? __builtin_nanf("") : rounds_to_zero ? 0.0f : max / 127.0f;
}

template <typename V>
void FromI8Row(const int8_t* x, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::Store(y + i, V::LoadI8(x + i));
  if (i < n) V::StoreN(y + i, V::LoadI8N(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

template <typename V>
void FromBf16Row(const uint16_t* x, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::Store(y + i, V::LoadBf16(x + i));
  if (i < n) V::StoreN(y + i, V::LoadBf16N(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

template <typename V>
void FromFp16Row(const uint16_t* x, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::Store(y + i, V::LoadFp16(x + i));
  if (i < n) V::StoreN(y + i, V::LoadFp16N(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_ELEMENTWISE_H_
