// What the linear kernels use of AVX-512 beyond tests/differential/simde_avx512.h, and the names under which the kernel
// sources are compiled a second time. Include it first, then one kernel source.
#ifndef BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_INTRINSICS_H_
#define BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_INTRINSICS_H_

#include <bit>
#include <cmath>

#include "tests/differential/simde_avx512.h"

namespace bitrate::emulated {

inline I512 WidenEpu8(__m128i a) {
  const auto from = Lanes<uint8_t, 16>::From(a);
  Lanes<int32_t, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = from.lane[i];
  return r.To<I512>();
}
inline I512 LoadInt(const void* p) {
  I512 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
// Without saturation; sums wrap.
inline I512 DotUnsignedSigned(I512 acc, I512 a, I512 b) {
  auto r = Lanes<uint32_t, 16>::From(acc);
  const auto x = Lanes<uint8_t, 64>::From(a);
  const auto y = Lanes<int8_t, 64>::From(b);
  for (int i = 0; i < 64; ++i) r.lane[i / 4] += static_cast<uint32_t>(x.lane[i] * y.lane[i]);
  return r.To<I512>();
}
inline V512 PermuteFloats(I512 index, V512 a) {
  const auto at = Lanes<uint32_t, 16>::From(index);
  const auto from = Lanes<float, 16>::From(a);
  Lanes<float, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = from.lane[at.lane[i] & 15];
  return r.To<V512>();
}
inline I512 MulLow(I512 a, I512 b) {
  auto r = Lanes<uint32_t, 16>::From(a);
  const auto y = Lanes<uint32_t, 16>::From(b);
  for (int i = 0; i < 16; ++i) r.lane[i] *= y.lane[i];
  return r.To<I512>();
}
// The vendor's pseudocode: two multiply-adds, the odd product first, rounded to nearest even, with subnormals read and
// written as zero whatever MXCSR says. (Real parts may fuse the two differently; the tests of a native table allow it.)
inline float FlushSubnormal(float v) { return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0f, v) : v; }
inline V512 DotBf16(V512 acc, I512 a, I512 b) {
  auto r = Lanes<float, 16>::From(acc);
  const auto x = Lanes<uint16_t, 32>::From(a), y = Lanes<uint16_t, 32>::From(b);
  const auto value = [](uint16_t bits) {
    return FlushSubnormal(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
  };
  for (int i = 0; i < 16; ++i) {
    for (int j : {2 * i + 1, 2 * i}) {
      r.lane[i] = FlushSubnormal(std::fma(value(x.lane[j]), value(y.lane[j]), FlushSubnormal(r.lane[i])));
    }
  }
  return r.To<V512>();
}

}  // namespace bitrate::emulated

#define __m512bh simde__m512i
#define _mm512_cvtepu8_epi32(a) bitrate::emulated::WidenEpu8(a)
#define _mm512_permutexvar_ps(index, a) bitrate::emulated::PermuteFloats(index, a)
#define _mm512_loadu_si512(p) bitrate::emulated::LoadInt(p)
#define _mm512_dpbusd_epi32(acc, a, b) bitrate::emulated::DotUnsignedSigned(acc, a, b)
#define _mm512_mullo_epi32(a, b) bitrate::emulated::MulLow(a, b)
#define _mm512_dpbf16_ps(acc, a, b) bitrate::emulated::DotBf16(acc, a, b)
#define _mm512_xor_si512 simde_mm512_xor_si512
#define _mm512_set1_epi8 simde_mm512_set1_epi8

#define Avx512LinearKernels EmulatedAvx512LinearKernels
#define avx512 avx512_emulated

#endif  // BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_INTRINSICS_H_
