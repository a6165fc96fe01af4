// AVX2 + FMA + F16C as the float tiles see it. Included by AVX2 kernel sources only.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX2_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX2_H_

#include <immintrin.h>

#include <cstdint>

namespace bitrate::linear {
namespace {

struct Avx2 {
  using F = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;
  // 16 registers: V x M accumulators, V weights unless an fma reads them from memory, and a broadcast. One row needs 8
  // chains to fill two FMA pipes of latency 4.
  static constexpr int kMaxFloatRows = 6;
  static constexpr int VectorsFromMemory(int m) { return m == 1 ? 8 : m <= 3 ? 4 : 2; }
  static constexpr int VectorsFromRegisters(int m) { return m == 1 ? 8 : m == 2 ? 4 : 2; }

  static void Prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T0); }
  static void PrefetchL2(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
  static F LoadF(const float* p) { return _mm256_loadu_ps(p); }
  static void StoreF(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F SetF(float v) { return _mm256_set1_ps(v); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F LoadFp16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static I LoadI(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static I LoadU8(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static I SetI(int v) { return _mm256_set1_epi32(v); }
  static I SubI(I a, I b) { return _mm256_sub_epi32(a, b); }
  static F ToF(I v) { return _mm256_cvtepi32_ps(v); }
  static F LowBf16(I v) { return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16)); }
  static F HighBf16(I v) { return _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(-65536))); }
  template <int kJ>
  static I SignedByte(I v) {
    return _mm256_srai_epi32(kJ == 3 ? v : _mm256_slli_epi32(v, 24 - 8 * kJ), 24);
  }
  template <int kJ>
  static I Nibble(I v) {
    constexpr int kShift = kJ < 4 ? 8 * kJ : 8 * (kJ - 4) + 4;
    return _mm256_and_si256(_mm256_srli_epi32(v, kShift), _mm256_set1_epi32(15));
  }
  // 16 values, looked up by codes 0 .. 15.
  struct Table {
    F low, high;
  };
  static Table LoadTable(const float* p) { return {LoadF(p), LoadF(p + 8)}; }
  static F Lookup(const Table& table, I codes) {
    // A permute reads the low three bits; the fourth, moved to the sign, chooses between its results.
    const F choose = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, codes), _mm256_permutevar8x32_ps(table.high, codes),
                            choose);
  }
};

}  // namespace
}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX2_H_
