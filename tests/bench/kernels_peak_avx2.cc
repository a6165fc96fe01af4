#include <immintrin.h>

#include <iterator>

#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "tests/bench/kernels_calibrate.h"

namespace bitrate::bench {
namespace {

double FloatOps(int64_t iterations) {
  __m256 acc[10];
  linear::StaticFor<std::size(acc)>([&](auto j) BITRATE_INLINE { acc[j] = _mm256_set1_ps(1.0f); });
  const __m256 x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < iterations; ++i) {
    linear::StaticFor<10>([&](auto j) BITRATE_INLINE {
      acc[j] = _mm256_fmadd_ps(acc[j], x, y);
      asm volatile("" : "+x"(acc[j]));
    });
  }
  return static_cast<double>(iterations) * 10 * 16;
}

double Int8Ops(int64_t iterations) {
  __m256i acc[8];
  linear::StaticFor<std::size(acc)>([&](auto j) BITRATE_INLINE { acc[j] = _mm256_setzero_si256(); });
  __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < iterations; ++i) {
    linear::StaticFor<8>([&](auto j) BITRATE_INLINE {
      asm volatile("" : "+x"(x));
      acc[j] = _mm256_add_epi16(acc[j], _mm256_maddubs_epi16(x, y));
      asm volatile("" : "+x"(acc[j]));
    });
  }
  return static_cast<double>(iterations) * 8 * 64;
}

}  // namespace

PeakLoops Avx2PeakLoops() { return {FloatOps, Int8Ops}; }

}  // namespace bitrate::bench
