// AVX-512 (F, BW, DQ, VL) as the float tiles see it. Included by AVX-512 kernel sources only, which the differential
// tests compile a second time over an emulation of these intrinsics.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX512_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX512_H_

// GCC 12's own header reads an uninitialised variable on purpose (_mm512_undefined_ps) and warns about it when inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <cstdint>

namespace bitrate::linear {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;
  // 32 registers: 4 x 6 accumulators, 4 weights; broadcasts are embedded in the fma.
  static constexpr int kMaxFloatRows = 6;
  static constexpr int VectorsFromMemory(int) { return 4; }
  static constexpr int VectorsFromRegisters(int) { return 4; }

  static void Prefetch(const char*) {}  // a tile is the whole width of a panel: one forward stream
  static void PrefetchL2(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
  static F LoadF(const float* p) { return _mm512_loadu_ps(p); }
  static void StoreF(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F SetF(float v) { return _mm512_set1_ps(v); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F LoadFp16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static I LoadI(const void* p) { return _mm512_loadu_si512(p); }
  static I LoadU8(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I SetI(int v) { return _mm512_set1_epi32(v); }
  static I SubI(I a, I b) { return _mm512_sub_epi32(a, b); }
  static F ToF(I v) { return _mm512_cvtepi32_ps(v); }
  static F LowBf16(I v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
  static F HighBf16(I v) { return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(-65536))); }
  template <int kJ>
  static I SignedByte(I v) {
    return _mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * kJ), 24);
  }
  template <int kJ>
  static I Nibble(I v) {
    constexpr int kShift = kJ < 4 ? 8 * kJ : 8 * (kJ - 4) + 4;
    return _mm512_and_si512(_mm512_srli_epi32(v, kShift), _mm512_set1_epi32(15));
  }
  // 16 values, looked up by codes 0 .. 15.
  using Table = F;
  static Table LoadTable(const float* p) { return LoadF(p); }
  static F Lookup(Table table, I codes) { return _mm512_permutexvar_ps(codes, table); }
};

}  // namespace
}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_SIMD_AVX512_H_
