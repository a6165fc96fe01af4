// AVX-512 intrinsics over SIMDe (Debian libsimde-dev, tests only), so that AVX-512 kernel sources compiled a second
// time run on machines without AVX-512. Include it before the kernel source: afterwards the names below mean the
// emulation. What SIMDe 0.7.4 lacks is written out here, lane by lane, from the vendor's description of each
// instruction.
#ifndef BITRATE_TESTS_DIFFERENTIAL_SIMDE_AVX512_H_
#define BITRATE_TESTS_DIFFERENTIAL_SIMDE_AVX512_H_

#include <immintrin.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#error "compile the emulation without AVX-512"
#endif

namespace bitrate::emulated {

using V512 = simde__m512;
using I512 = simde__m512i;

template <typename Lane, int kLanes>
struct Lanes {
  Lane lane[kLanes];
  template <typename Vector>
  static Lanes From(const Vector& v) {
    static_assert(sizeof(Vector) == sizeof(Lanes));
    Lanes r;
    std::memcpy(&r, &v, sizeof(r));
    return r;
  }
  template <typename Vector>
  Vector To() const {
    static_assert(sizeof(Vector) == sizeof(Lanes));
    Vector v;
    std::memcpy(&v, this, sizeof(v));
    return v;
  }
};

inline V512 MaskzLoadPs(uint16_t mask, const void* p) {
  Lanes<float, 16> r{};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) r.lane[i] = static_cast<const float*>(p)[i];
  }
  return r.To<V512>();
}
inline void MaskStorePs(void* p, uint16_t mask, V512 a) {
  const auto lanes = Lanes<float, 16>::From(a);
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) static_cast<float*>(p)[i] = lanes.lane[i];
  }
}
inline __m256i MaskzLoadEpi16(uint16_t mask, const void* p) {
  Lanes<uint16_t, 16> r{};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) r.lane[i] = static_cast<const uint16_t*>(p)[i];
  }
  return r.To<__m256i>();
}
inline void MaskStoreEpi16(void* p, uint16_t mask, __m256i a) {
  const auto lanes = Lanes<uint16_t, 16>::From(a);
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) static_cast<uint16_t*>(p)[i] = lanes.lane[i];
  }
}
inline __m256i NarrowEpi32(I512 a) {
  const auto from = Lanes<uint32_t, 16>::From(a);
  Lanes<uint16_t, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<uint16_t>(from.lane[i]);
  return r.To<__m256i>();
}
inline I512 WidenEpu16(__m256i a) {
  const auto from = Lanes<uint16_t, 16>::From(a);
  Lanes<uint32_t, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = from.lane[i];
  return r.To<I512>();
}
inline I512 ShiftRightArithmetic(I512 a, unsigned count) {
  auto r = Lanes<int32_t, 16>::From(a);
  for (int32_t& lane : r.lane) lane = lane >> (count > 31 ? 31 : count);
  return r.To<I512>();
}
inline V512 WidenHalf(__m256i a) {
  Lanes<__m256, 2> r;
  r.lane[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(a));
  r.lane[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1));
  return r.To<V512>();
}
inline __m256i NarrowHalf(V512 a) {
  const auto from = Lanes<__m256, 2>::From(a);
  return _mm256_set_m128i(_mm256_cvtps_ph(from.lane[1], _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(from.lane[0], _MM_FROUND_TO_NEAREST_INT));
}
inline __m128i MaskzLoadEpi8(uint16_t mask, const void* p) {
  Lanes<uint8_t, 16> r{};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) r.lane[i] = static_cast<const uint8_t*>(p)[i];
  }
  return r.To<__m128i>();
}
inline void MaskStoreEpi8(void* p, uint16_t mask, __m128i a) {
  const auto lanes = Lanes<uint8_t, 16>::From(a);
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) static_cast<uint8_t*>(p)[i] = lanes.lane[i];
  }
}
inline __m128i NarrowEpi32ToEpi8(I512 a) {
  const auto from = Lanes<uint32_t, 16>::From(a);
  Lanes<uint8_t, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<uint8_t>(from.lane[i]);
  return r.To<__m128i>();
}
inline I512 WidenEpi8(__m128i a) {
  const auto from = Lanes<int8_t, 16>::From(a);
  Lanes<int32_t, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = from.lane[i];
  return r.To<I512>();
}
inline V512 IntegersToPs(I512 a) {
  const auto from = Lanes<int32_t, 16>::From(a);
  Lanes<float, 16> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<float>(from.lane[i]);
  return r.To<V512>();
}
inline I512 PsToIntegers(V512 a) {  // to the nearest, ties to even; NaN gives 0x80000000
  const auto from = Lanes<__m256, 2>::From(a);
  Lanes<__m256i, 2> r;
  for (int i = 0; i < 2; ++i) r.lane[i] = _mm256_cvtps_epi32(from.lane[i]);
  return r.To<I512>();
}
inline __m256 ExtractHalf(V512 a, int which) { return Lanes<__m256, 2>::From(a).lane[which]; }

}  // namespace bitrate::emulated

#define __m512 simde__m512
#define __m512i simde__m512i
#define __m512d simde__m512d

#define _mm512_maskz_loadu_ps(mask, p) bitrate::emulated::MaskzLoadPs(mask, p)
#define _mm512_mask_storeu_ps(p, mask, a) bitrate::emulated::MaskStorePs(p, mask, a)
#define _mm256_maskz_loadu_epi16(mask, p) bitrate::emulated::MaskzLoadEpi16(mask, p)
#define _mm256_mask_storeu_epi16(p, mask, a) bitrate::emulated::MaskStoreEpi16(p, mask, a)
#define _mm512_cvtepi32_epi16(a) bitrate::emulated::NarrowEpi32(a)
#define _mm512_cvtepu16_epi32(a) bitrate::emulated::WidenEpu16(a)
#define _mm512_srai_epi32(a, count) bitrate::emulated::ShiftRightArithmetic(a, count)
#define _mm512_cvtph_ps(a) bitrate::emulated::WidenHalf(a)
#define _mm512_cvtps_ph(a, rounding) bitrate::emulated::NarrowHalf(a)
#define _mm_maskz_loadu_epi8(mask, p) bitrate::emulated::MaskzLoadEpi8(mask, p)
#define _mm_mask_storeu_epi8(p, mask, a) bitrate::emulated::MaskStoreEpi8(p, mask, a)
#define _mm512_cvtepi32_epi8(a) bitrate::emulated::NarrowEpi32ToEpi8(a)
#define _mm512_cvtepi8_epi32(a) bitrate::emulated::WidenEpi8(a)
#define _mm512_cvtepi32_ps(a) bitrate::emulated::IntegersToPs(a)
#define _mm512_cvtps_epi32(a) bitrate::emulated::PsToIntegers(a)
#define _mm512_extractf32x8_ps(a, which) bitrate::emulated::ExtractHalf(a, which)

#define _mm512_abs_ps simde_mm512_abs_ps
#define _mm512_add_epi32 simde_mm512_add_epi32
#define _mm512_add_ps simde_mm512_add_ps
#define _mm512_and_si512 simde_mm512_and_si512
#define _mm512_castps512_ps256 simde_mm512_castps512_ps256
#define _mm512_castps_si512 simde_mm512_castps_si512
#define _mm512_castsi512_ps simde_mm512_castsi512_ps
#define _mm512_cmp_ps_mask simde_mm512_cmp_ps_mask
#define _mm512_div_ps simde_mm512_div_ps
#define _mm512_fmadd_ps simde_mm512_fmadd_ps
#define _mm512_fnmadd_ps simde_mm512_fnmadd_ps
#define _mm512_loadu_ps simde_mm512_loadu_ps
#define _mm512_mask_blend_epi32 simde_mm512_mask_blend_epi32
#define _mm512_mask_blend_ps simde_mm512_mask_blend_ps
#define _mm512_max_ps simde_mm512_max_ps
#define _mm512_min_ps simde_mm512_min_ps
#define _mm512_mul_ps simde_mm512_mul_ps
#define _mm512_or_si512 simde_mm512_or_si512
#define _mm512_set1_epi32 simde_mm512_set1_epi32
#define _mm512_set1_ps simde_mm512_set1_ps
#define _mm512_slli_epi32 simde_mm512_slli_epi32
#define _mm512_srli_epi32 simde_mm512_srli_epi32
#define _mm512_storeu_ps simde_mm512_storeu_ps
#define _mm512_sub_epi32 simde_mm512_sub_epi32
#define _mm512_sub_ps simde_mm512_sub_ps

#endif  // BITRATE_TESTS_DIFFERENTIAL_SIMDE_AVX512_H_
