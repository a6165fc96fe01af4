// The 16-lane vector of f32 in plain C++: the definition of what vec_avx2.h and vec_avx512.h compute, lane by lane.
// Members of each such type V, besides lane-wise arithmetic:
//   kTiles            accumulators worth keeping in registers
//   Max(a, b)         a > b ? a : b, so that NaN in b stays
//   KeepLanes         lanes first <= i < last of v, `other` elsewhere
//   ReduceAdd         i + (i + 8), then + 4, + 2, + 1
//   HalfPowers        2^(n/2) and 2^(n - n/2) of an integer n held as 1.5 * 2^23 + n
//   AddExponent       x * 2^n of an integer n, where x and the result are normal numbers; NaN where both are NaN
//   StoreI8N          the integers -127 .. 127 held as 1.5 * 2^23 + n
//   Register          one hardware register of kLanes <= 16 lanes: Set, Load.., Store and Fma only
//   LoadN / StoreN    the first n <= 16 lanes only; lanes beyond are zero
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_SCALAR_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_SCALAR_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/base/half.h"

namespace bitrate {

struct ScalarVec {
  static constexpr int kLanes = 16;
  static constexpr int kTiles = 4;
  using Register = ScalarVec;
  float lane[kLanes];

  template <typename F>
  static ScalarVec Each(const F& f) {
    ScalarVec r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = f(i);
    return r;
  }
  static ScalarVec Set(float x) {
    return Each([&](int) { return x; });
  }
  static ScalarVec Load(const float* p) {
    return Each([&](int i) { return p[i]; });
  }
  static ScalarVec LoadN(const float* p, int n) {
    return Each([&](int i) { return i < n ? p[i] : 0.0f; });
  }
  static ScalarVec LoadBf16(const uint16_t* p) {
    return Each([&](int i) { return ToFloat(Bf16{p[i]}); });
  }
  static ScalarVec LoadBf16N(const uint16_t* p, int n) {
    return Each([&](int i) { return i < n ? ToFloat(Bf16{p[i]}) : 0.0f; });
  }
  static ScalarVec LoadFp16(const uint16_t* p) {
    return Each([&](int i) { return ToFloat(Fp16{p[i]}); });
  }
  static ScalarVec LoadFp16N(const uint16_t* p, int n) {
    return Each([&](int i) { return i < n ? ToFloat(Fp16{p[i]}) : 0.0f; });
  }
  static ScalarVec LoadI8(const int8_t* p) {
    return Each([&](int i) { return static_cast<float>(p[i]); });
  }
  static ScalarVec LoadI8N(const int8_t* p, int n) {
    return Each([&](int i) { return i < n ? static_cast<float>(p[i]) : 0.0f; });
  }
  static void Store(float* p, ScalarVec a) { StoreN(p, a, kLanes); }
  static void StoreN(float* p, ScalarVec a, int n) {
    for (int i = 0; i < n; ++i) p[i] = a.lane[i];
  }
  static void StoreBf16N(uint16_t* p, ScalarVec a, int n) {
    for (int i = 0; i < n; ++i) p[i] = ToBf16(a.lane[i]).bits;
  }
  static void StoreFp16N(uint16_t* p, ScalarVec a, int n) {
    for (int i = 0; i < n; ++i) p[i] = ToFp16(a.lane[i]).bits;
  }
  static void StoreI8N(int8_t* p, ScalarVec rounded, int n) {
    for (int i = 0; i < n; ++i) p[i] = static_cast<int8_t>(std::bit_cast<uint32_t>(rounded.lane[i]) & 0xffu);
  }

  static ScalarVec Add(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static ScalarVec Sub(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static ScalarVec Mul(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static ScalarVec Div(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static ScalarVec Fma(ScalarVec a, ScalarVec b, ScalarVec c) {  // a * b + c
    return Each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static ScalarVec Fnma(ScalarVec a, ScalarVec b, ScalarVec c) {  // c - a * b
    return Each([&](int i) { return std::fma(-a.lane[i], b.lane[i], c.lane[i]); });
  }
  static ScalarVec Max(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static ScalarVec Min(ScalarVec a, ScalarVec b) {
    return Each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  // |a| < b ? x : y
  static ScalarVec SelectAbsLess(ScalarVec a, float b, ScalarVec x, ScalarVec y) {
    return Each([&](int i) { return std::fabs(a.lane[i]) < b ? x.lane[i] : y.lane[i]; });
  }
  static ScalarVec KeepLanes(ScalarVec a, int first, int last, float other) {
    return Each([&](int i) { return i >= first && i < last ? a.lane[i] : other; });
  }
  static float ReduceAdd(ScalarVec a) {
    for (int step = 8; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) a.lane[i] += a.lane[i + step];
    }
    return a.lane[0];
  }
  static float ReduceMax(ScalarVec a) {
    for (int step = 8; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) a.lane[i] = a.lane[i] > a.lane[i + step] ? a.lane[i] : a.lane[i + step];
    }
    return a.lane[0];
  }

  static ScalarVec AddExponent(ScalarVec x, ScalarVec n) {
    return Each([&](int i) {
      const uint32_t exponent = n.lane[i] == n.lane[i] ? static_cast<uint32_t>(static_cast<int32_t>(n.lane[i])) : 0;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(x.lane[i]) + (exponent << 23));
    });
  }

  // 2^(n / 2) and 2^(n - n / 2) of n = rounded - 1.5 * 2^23 (the halves keep subnormal and overflowing results right).
  static void HalfPowers(ScalarVec rounded, ScalarVec* low, ScalarVec* high) {
    for (int i = 0; i < kLanes; ++i) {
      const int32_t n = static_cast<int32_t>(std::bit_cast<uint32_t>(rounded.lane[i]) - 0x4b400000u);
      const int32_t half = n >> 1;
      low->lane[i] = std::bit_cast<float>(static_cast<uint32_t>(half + 127) << 23);
      high->lane[i] = std::bit_cast<float>(static_cast<uint32_t>(n - half + 127) << 23);
    }
  }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_SCALAR_H_
