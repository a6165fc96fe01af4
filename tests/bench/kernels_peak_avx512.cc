#include <immintrin.h>

#include <iterator>

#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

uint64_t Read(std::span<const std::byte> bytes) {
  constexpr size_t kVector = sizeof(__m512i), kStep = 8 * kVector, kAhead = 2048;
  __m512i sum[8];
  for (__m512i& lane : sum) lane = _mm512_setzero_si512();
  for (size_t at = 0; at + kStep <= bytes.size(); at += kStep) {
    const std::byte* from = bytes.data() + at;
    for (size_t line = 0; line < kStep; line += 64) _mm_prefetch(from + kAhead + line, _MM_HINT_T0);
    linear::StaticFor<8>([&](auto j) BITRATE_INLINE {
      sum[j] = _mm512_add_epi64(sum[j], _mm512_loadu_si512(reinterpret_cast<const __m512i*>(from + j * kVector)));
    });
  }
  for (int j = 1; j < 8; ++j) sum[0] = _mm512_add_epi64(sum[0], sum[j]);
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, sum[0]);
  uint64_t total = 0;
  for (uint64_t lane : lanes) total += lane;
  return total;
}

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

double Bf16Ops(int64_t iterations) {
  __m512 acc[10];
  linear::StaticFor<std::size(acc)>([&](auto j) BITRATE_INLINE { acc[j] = _mm512_setzero_ps(); });
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
  for (int64_t i = 0; i < iterations; ++i) {
    linear::StaticFor<10>([&](auto j) BITRATE_INLINE {
      acc[j] = _mm512_dpbf16_ps(acc[j], x, x);
      asm volatile("" : "+v"(acc[j]));
    });
  }
  return static_cast<double>(iterations) * 10 * 64;
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

PeakLoops Avx512PeakLoops() { return {Read, FloatOps, Bf16Ops, Int8Ops}; }

}  // namespace bitrate::bench
