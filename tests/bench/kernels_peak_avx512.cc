#include <immintrin.h>

#include <iterator>

#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "tests/bench/kernels_calibrate.h"

namespace bitrate::bench {
namespace {

double FloatOps(int64_t iterations) {
  __m512 acc[10];
  linear::StaticFor<std::size(acc)>([&](auto j) BITRATE_INLINE { acc[j] = _mm512_set1_ps(1.0f); });
  const __m512 x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < iterations; ++i) {
    linear::StaticFor<10>([&](auto j) BITRATE_INLINE {
      acc[j] = _mm512_fmadd_ps(acc[j], x, y);
      asm volatile("" : "+v"(acc[j]));
    });
  }
  return static_cast<double>(iterations) * 10 * 32;
}

double Int8Ops(int64_t iterations) {
  __m512i acc[10];
  linear::StaticFor<std::size(acc)>([&](auto j) BITRATE_INLINE { acc[j] = _mm512_setzero_si512(); });
  const __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(5);
  for (int64_t i = 0; i < iterations; ++i) {
    linear::StaticFor<10>([&](auto j) BITRATE_INLINE {
      acc[j] = _mm512_dpbusd_epi32(acc[j], x, y);
      asm volatile("" : "+v"(acc[j]));
    });
  }
  return static_cast<double>(iterations) * 10 * 128;
}

}  // namespace

PeakLoops Avx512PeakLoops() { return {FloatOps, Int8Ops}; }

}  // namespace bitrate::bench
