// The 16-lane vector of vec_scalar.h as two AVX2 registers. Include only from sources compiled with AVX2, FMA and F16C.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX2_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX2_H_

#include <immintrin.h>

#include <cstdint>

namespace bitrate {

// Half of such a vector, for loops that count registers.
struct Avx2Register {
  static constexpr int kLanes = 8;
  __m256 v;

  static Avx2Register Set(float x) { return {_mm256_set1_ps(x)}; }
  static Avx2Register Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Avx2Register LoadBf16(const uint16_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
  }
  static Avx2Register LoadFp16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static Avx2Register LoadI8(const int8_t* p) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes))};
  }
  static Avx2Register LoadN(const float* p, int n) { return Load(Copy(p, n).lane); }
  static Avx2Register LoadBf16N(const uint16_t* p, int n) { return LoadBf16(Copy(p, n).lane); }
  static Avx2Register LoadFp16N(const uint16_t* p, int n) { return LoadFp16(Copy(p, n).lane); }
  static Avx2Register LoadI8N(const int8_t* p, int n) { return LoadI8(Copy(p, n).lane); }
  static void Store(float* p, Avx2Register a) { _mm256_storeu_ps(p, a.v); }
  static Avx2Register Fma(Avx2Register a, Avx2Register b, Avx2Register c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

 private:
  template <typename T>
  struct Lanes {
    T lane[kLanes];
  };
  template <typename T>
  static Lanes<T> Copy(const T* p, int n) {
    Lanes<T> lanes = {};
    for (int i = 0; i < n; ++i) lanes.lane[i] = p[i];
    return lanes;
  }
};

struct Avx2Vec {
  static constexpr int kLanes = 16;
  static constexpr int kTiles = 6;  // 12 of 16 registers
  using Register = Avx2Register;
  __m256 lo, hi;

  static Avx2Vec Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Avx2Vec Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Avx2Vec LoadN(const float* p, int n) {
    float lane[kLanes] = {};
    for (int i = 0; i < n; ++i) lane[i] = p[i];
    return Load(lane);
  }
  static Avx2Vec LoadBf16(const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(bits));
    const __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(bits, 1));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
  }
  static Avx2Vec LoadFp16(const uint16_t* p) {
    const __m128i* half = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
  }
  static Avx2Vec LoadBf16N(const uint16_t* p, int n) {
    uint16_t lane[kLanes] = {};
    for (int i = 0; i < n; ++i) lane[i] = p[i];
    return LoadBf16(lane);
  }
  static Avx2Vec LoadFp16N(const uint16_t* p, int n) {
    uint16_t lane[kLanes] = {};
    for (int i = 0; i < n; ++i) lane[i] = p[i];
    return LoadFp16(lane);
  }
  static Avx2Vec LoadI8(const int8_t* p) { return {Avx2Register::LoadI8(p).v, Avx2Register::LoadI8(p + 8).v}; }
  static Avx2Vec LoadI8N(const int8_t* p, int n) {
    int8_t lane[kLanes] = {};
    for (int i = 0; i < n; ++i) lane[i] = p[i];
    return LoadI8(lane);
  }
  static void Store(float* p, Avx2Vec a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  static void StoreN(float* p, Avx2Vec a, int n) {
    if (n == kLanes) return Store(p, a);
    float lane[kLanes];
    Store(lane, a);
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }
  static void StoreBf16N(uint16_t* p, Avx2Vec a, int n) {
    // packus works within 128-bit halves; the permutation puts the four quarters in order.
    const __m256i packed = _mm256_packus_epi32(Bf16Bits(a.lo), Bf16Bits(a.hi));
    StoreHalfN(p, _mm256_permute4x64_epi64(packed, 0xd8), n);
  }
  static void StoreFp16N(uint16_t* p, Avx2Vec a, int n) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    StoreHalfN(p, _mm256_set_m128i(_mm256_cvtps_ph(a.hi, kNearest), _mm256_cvtps_ph(a.lo, kNearest)), n);
  }
  static void StoreI8N(int8_t* p, Avx2Vec rounded, int n) {
    const __m256i bias = _mm256_set1_epi32(0x4b400000);
    const __m256i lo = _mm256_sub_epi32(_mm256_castps_si256(rounded.lo), bias);
    const __m256i hi = _mm256_sub_epi32(_mm256_castps_si256(rounded.hi), bias);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8);
    const __m128i codes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (n == kLanes) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), codes);
    int8_t lane[kLanes];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(lane), codes);
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }

  static Avx2Vec Add(Avx2Vec a, Avx2Vec b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  static Avx2Vec Sub(Avx2Vec a, Avx2Vec b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
  static Avx2Vec Mul(Avx2Vec a, Avx2Vec b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  static Avx2Vec Div(Avx2Vec a, Avx2Vec b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
  static Avx2Vec Fma(Avx2Vec a, Avx2Vec b, Avx2Vec c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  static Avx2Vec Fnma(Avx2Vec a, Avx2Vec b, Avx2Vec c) {
    return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
  }
  static Avx2Vec Max(Avx2Vec a, Avx2Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
  static Avx2Vec Min(Avx2Vec a, Avx2Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
  static Avx2Vec SelectAbsLess(Avx2Vec a, float b, Avx2Vec x, Avx2Vec y) {
    return {SelectAbsLess(a.lo, b, x.lo, y.lo), SelectAbsLess(a.hi, b, x.hi, y.hi)};
  }
  static Avx2Vec KeepLanes(Avx2Vec a, int first, int last, float other) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {KeepLanes(a.lo, index, first, last, other),
            KeepLanes(a.hi, _mm256_add_epi32(index, _mm256_set1_epi32(8)), first, last, other)};
  }
  static float ReduceAdd(Avx2Vec a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float ReduceMax(Avx2Vec a) {
    const __m256 eight = _mm256_max_ps(a.lo, a.hi);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Avx2Vec AddExponent(Avx2Vec x, Avx2Vec n) { return {AddExponent(x.lo, n.lo), AddExponent(x.hi, n.hi)}; }
  static void HalfPowers(Avx2Vec rounded, Avx2Vec* low, Avx2Vec* high) {
    HalfPowers(rounded.lo, &low->lo, &high->lo);
    HalfPowers(rounded.hi, &low->hi, &high->hi);
  }

 private:
  static __m256i Bf16Bits(__m256 f) {  // ToBf16 of half.h in the low 16 bits
    const __m256i u = _mm256_castps_si256(f);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
  }
  static void StoreHalfN(uint16_t* p, __m256i a, int n) {
    if (n == kLanes) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    uint16_t lane[kLanes];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lane), a);
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }
  static __m256 SelectAbsLess(__m256 a, float b, __m256 x, __m256 y) {
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(magnitude, _mm256_set1_ps(b), _CMP_LT_OQ));
  }
  static __m256 KeepLanes(__m256 a, __m256i index, int first, int last, float other) {
    const __m256i keep = _mm256_and_si256(_mm256_cmpgt_epi32(index, _mm256_set1_epi32(first - 1)),
                                          _mm256_cmpgt_epi32(_mm256_set1_epi32(last), index));
    return _mm256_blendv_ps(_mm256_set1_ps(other), a, _mm256_castsi256_ps(keep));
  }
  static __m256 AddExponent(__m256 x, __m256 n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);  // of NaN: 0
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
  }
  static void HalfPowers(__m256 rounded, __m256* low, __m256* high) {
    const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(rounded), _mm256_set1_epi32(0x4b400000));
    const __m256i half = _mm256_srai_epi32(n, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    *low = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    *high = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23));
  }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_AVX2_H_
