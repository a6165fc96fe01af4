// The 16-lane vector of vec_scalar.h as one AVX-512 register. Include only from sources compiled with AVX-512 F, BW,
// DQ and VL.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX512_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX512_H_

// GCC 12's own header reads an uninitialised variable on purpose (_mm512_undefined_ps) and warns about it when inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstdint>

namespace bitrate {

struct Avx512Vec {
  static constexpr int kLanes = 16;
  static constexpr int kTiles = 24;  // of 32 registers
  using Register = Avx512Vec;
  __m512 v;

  static __mmask16 FirstN(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

  static Avx512Vec Set(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Avx512Vec LoadN(const float* p, int n) { return {_mm512_maskz_loadu_ps(FirstN(n), p)}; }
  static Avx512Vec LoadBf16(const uint16_t* p) {
    return FromBf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Avx512Vec LoadBf16N(const uint16_t* p, int n) { return FromBf16(_mm256_maskz_loadu_epi16(FirstN(n), p)); }
  static Avx512Vec LoadFp16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Avx512Vec LoadFp16N(const uint16_t* p, int n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstN(n), p))};
  }
  static Avx512Vec LoadI8(const int8_t* p) { return FromI8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static Avx512Vec LoadI8N(const int8_t* p, int n) { return FromI8(_mm_maskz_loadu_epi8(FirstN(n), p)); }
  static void Store(float* p, Avx512Vec a) { _mm512_storeu_ps(p, a.v); }
  static void StoreN(float* p, Avx512Vec a, int n) { _mm512_mask_storeu_ps(p, FirstN(n), a.v); }
  // Not vcvtneps2bf16: it flushes subnormals.
  static void StoreBf16N(uint16_t* p, Avx512Vec a, int n) {
    const __m512i u = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __m512i bits = _mm512_srli_epi32(_mm512_mask_blend_epi32(is_nan, rounded, quiet), 16);
    _mm256_mask_storeu_epi16(p, FirstN(n), _mm512_cvtepi32_epi16(bits));
  }
  static void StoreFp16N(uint16_t* p, Avx512Vec a, int n) {
    _mm256_mask_storeu_epi16(p, FirstN(n), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static void StoreI8N(int8_t* p, Avx512Vec rounded, int n) {
    _mm_mask_storeu_epi8(p, FirstN(n), _mm512_cvtepi32_epi8(_mm512_castps_si512(rounded.v)));
  }

  static Avx512Vec Add(Avx512Vec a, Avx512Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  static Avx512Vec Sub(Avx512Vec a, Avx512Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static Avx512Vec Mul(Avx512Vec a, Avx512Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static Avx512Vec Div(Avx512Vec a, Avx512Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Avx512Vec Fma(Avx512Vec a, Avx512Vec b, Avx512Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Avx512Vec Fnma(Avx512Vec a, Avx512Vec b, Avx512Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
  static Avx512Vec Max(Avx512Vec a, Avx512Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Avx512Vec Min(Avx512Vec a, Avx512Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Avx512Vec SelectAbsLess(Avx512Vec a, float b, Avx512Vec x, Avx512Vec y) {
    const __mmask16 less = _mm512_cmp_ps_mask(_mm512_abs_ps(a.v), _mm512_set1_ps(b), _CMP_LT_OQ);
    return {_mm512_mask_blend_ps(less, y.v, x.v)};
  }
  static Avx512Vec KeepLanes(Avx512Vec a, int first, int last, float other) {
    const uint32_t from = first <= 0 ? 0xffffu : first >= kLanes ? 0u : 0xffffu << first;
    const uint32_t to = last >= kLanes ? 0xffffu : last <= 0 ? 0u : (1u << last) - 1u;
    return {_mm512_mask_blend_ps(static_cast<__mmask16>(from & to), _mm512_set1_ps(other), a.v)};
  }
  static float ReduceAdd(Avx512Vec a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), UpperHalf(a.v));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float ReduceMax(Avx512Vec a) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), UpperHalf(a.v));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Avx512Vec AddExponent(Avx512Vec x, Avx512Vec n) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n.v), 23);  // of NaN: 0
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x.v), exponent))};
  }
  static void HalfPowers(Avx512Vec rounded, Avx512Vec* low, Avx512Vec* high) {
    const __m512i n = _mm512_sub_epi32(_mm512_castps_si512(rounded.v), _mm512_set1_epi32(0x4b400000));
    const __m512i half = _mm512_srai_epi32(n, 1);
    const __m512i bias = _mm512_set1_epi32(127);
    low->v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(half, bias), 23));
    high->v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(n, half), bias), 23));
  }

 private:
  static __m256 UpperHalf(__m512 a) { return _mm512_extractf32x8_ps(a, 1); }
  static Avx512Vec FromI8(__m128i codes) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))}; }
  static Avx512Vec FromBf16(__m256i bits) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX512_H_
