#include <immintrin.h>

#include <iterator>

#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

uint64_t Read(std::span<const std::byte> bytes) {
  constexpr size_t kVector = sizeof(__m256i), kStep = 8 * kVector, kAhead = 2048;
  __m256i sum[8];
  for (__m256i& lane : sum) lane = _mm256_setzero_si256();
  for (size_t at = 0; at + kStep <= bytes.size(); at += kStep) {
    const std::byte* from = bytes.data() + at;
    for (size_t line = 0; line < kStep; line += 64) _mm_prefetch(from + kAhead + line, _MM_HINT_T0);
    linear::StaticFor<8>([&](auto j) BITRATE_INLINE {
      sum[j] = _mm256_add_epi64(sum[j], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + j * kVector)));
    });
  }
  for (int j = 1; j < 8; ++j) sum[0] = _mm256_add_epi64(sum[0], sum[j]);
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

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

PeakLoops Avx2PeakLoops() { return {Read, FloatOps, nullptr, Int8Ops}; }

}  // namespace bitrate::bench
