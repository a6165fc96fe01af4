// Activations to int8 and bf16, AVX2: the same bits as the scalar reference (kernels/linear_kernels.h).
#include <immintrin.h>

#include <bit>
#include <cstdint>

#include "engine/backend/cpu/kernels/linear_avx2.h"

namespace bitrate::linear::avx2 {
namespace {

constexpr int32_t kInfBits = 0x7f800000;

int32_t HorizontalMax(__m256i v) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtsi128_si32(m);
}

int32_t HorizontalSum(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s);
}

int32_t MaxMagnitudeBits(const float* x, int64_t count) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  __m256i best = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    best = _mm256_max_epi32(best, _mm256_and_si256(bits, mask));
  }
  int32_t result = HorizontalMax(best);
  for (; i < count; ++i) {
    const int32_t bits = std::bit_cast<int32_t>(x[i]) & 0x7fffffff;
    result = bits > result ? bits : result;
  }
  return result;
}

// Eight codes as i32; their low bytes or halves go to `out`.
template <typename Code>
void StoreCodes(Code* out, __m256i codes) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  if constexpr (sizeof(Code) == 2) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), words);
  } else {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
  }
}

template <typename Code>
int32_t EncodeGroup(const float* x, int64_t count, float inverse, Code* out) {
  const __m256 factor = _mm256_set1_ps(inverse);
  __m256i total = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i codes = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
    total = _mm256_add_epi32(total, codes);
    StoreCodes(out + i, codes);
  }
  int32_t sum = HorizontalSum(total);
  for (; i < count; ++i) {
    const int32_t code = _mm_cvtss_si32(_mm_mul_ss(_mm_set_ss(x[i]), _mm_set_ss(inverse)));
    out[i] = static_cast<Code>(code);
    sum += code;
  }
  return sum;
}

template <typename Code>
void QuantizeRow(const float* x, int64_t k, int64_t k_padded, int64_t group, void* codes, float* scale, int32_t* sum) {
  Code* out = static_cast<Code*>(codes);
  for (int64_t begin = 0, g = 0; begin < k; begin += group, ++g) {
    const int64_t count = begin + group < k ? group : k - begin;
    const int32_t amax_bits = MaxMagnitudeBits(x + begin, count);
    const float amax = std::bit_cast<float>(amax_bits);
    if (amax_bits < kInfBits && amax >= kTinyAmax) {
      scale[g] = amax / 127.0f;
      sum[g] = EncodeGroup(x + begin, count, 127.0f / amax, out + begin);
      continue;
    }
    scale[g] = amax_bits >= kInfBits ? std::bit_cast<float>(0x7fc00000) : 0.0f;
    sum[g] = 0;
    for (int64_t i = 0; i < count; ++i) out[begin + i] = 0;
  }
  for (int64_t i = k; i < k_padded; ++i) out[i] = 0;
}

// Round to nearest even by integer arithmetic, a NaN kept quiet: base/half.h in vectors.
__m256i Bf16Bits(__m256i bits) {
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(kInfBits));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  return _mm256_and_si256(_mm256_blendv_epi8(rounded, quiet, nan), _mm256_set1_epi32(-65536));
}

void RoundBf16(const float* x, int64_t k, int64_t k_padded, void* out) {
  float* rounded = static_cast<float*>(out);
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(rounded + i), Bf16Bits(bits));
  }
  for (; i < k; ++i) {
    const __m256i bits = Bf16Bits(_mm256_set1_epi32(std::bit_cast<int32_t>(x[i])));
    rounded[i] = std::bit_cast<float>(_mm_cvtsi128_si32(_mm256_castsi256_si128(bits)));
  }
  for (; i < k_padded; ++i) rounded[i] = 0.0f;
}

// count is a multiple of 8: whole panels.
void ExpandFp16(const void* halves, int64_t count, float* out) {
  const auto* from = static_cast<const uint16_t*>(halves);
  for (int64_t i = 0; i < count; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
}

}  // namespace

void RoundToBf16(const float* x, int64_t k, int64_t k_padded, void* out) {
  uint16_t* rounded = static_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    const __m256i bits = Bf16Bits(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)));
    const __m256i words = _mm256_srli_epi32(bits, 16);
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rounded + i), packed);
  }
  for (; i < k; ++i) {
    const __m256i bits = Bf16Bits(_mm256_set1_epi32(std::bit_cast<int32_t>(x[i])));
    rounded[i] = static_cast<uint16_t>(static_cast<uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(bits))) >> 16);
  }
  for (; i < k_padded; ++i) rounded[i] = 0;
}

void FillQuantize(LinearKernels& table) {
  table.round_bf16 = RoundBf16;
  table.expand_fp16 = ExpandFp16;
  table.quantize_s8 = QuantizeRow<int8_t>;
  table.quantize_s16 = QuantizeRow<int16_t>;
}

}  // namespace bitrate::linear::avx2
