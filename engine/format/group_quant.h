// The two normalised quantized forms that kernels pack from, and round-to-nearest encoders into them (DESIGN section
// 6). Values; thread-safe as such. Rows are independent, so loaders call the encoders on row ranges in parallel.
//
// Int8Matrix   w[n,k] = scale[n,g] * q[n,k], q in -127..127; group_size == k: one scale a row ("per channel").
// Int4Matrix   q in 0..15, groups along K (the last may be short):
//                kSymmetric  w = scale * (q - 8)
//                kZero       w = scale * (q - zero), zero an integer 0..15
//                kMin        w = scale * q + min
//              Scales and minima are f32 here; fp16_exact says that every one is a value that fp16 holds, so a kernel
//              may store fp16 planes without loss.
#ifndef BITRATE_ENGINE_FORMAT_GROUP_QUANT_H_
#define BITRATE_ENGINE_FORMAT_GROUP_QUANT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace bitrate {

struct Int8Matrix {
  int64_t n = 0, k = 0;
  int64_t group_size = 0;
  std::vector<int8_t> codes;  // [N, K]
  std::vector<float> scale;   // [N, ceil(K / group_size)]
};

enum class Int4Offset : uint8_t { kSymmetric, kZero, kMin };

struct Int4Matrix {
  int64_t n = 0, k = 0;
  int64_t group_size = 0;
  Int4Offset offset = Int4Offset::kSymmetric;
  bool fp16_exact = false;
  std::vector<uint8_t> codes;  // [N, K], one code a byte, 0..15
  std::vector<float> scale;    // [N, ceil(K / group_size)]
  std::vector<uint8_t> zero;   // [N, ceil(K / group_size)], kZero only
  std::vector<float> min;      // [N, ceil(K / group_size)], kMin only
  int64_t num_groups() const { return (k + group_size - 1) / group_size; }
};

// rows [N, K] f32 row-major. Per-channel symmetric: scale = max|w| / 127 (1 for an all-zero row),
// q = round_half_even(w / scale) clamped to +-127.
Int8Matrix QuantizeInt8(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size);

// kSymmetric: scale = max|w| / 8 rounded to fp16 before the codes are chosen, codes clamp to 0..15 (that is -8..7).
// kZero: range includes zero, scale = (max - min) / 15 rounded to fp16, zero = round(-min / scale) clamped to 0..15.
// kMin: scale = (max - min) / 15 and min, both rounded to fp16.
// A group whose scale is zero in fp16 gets scale 0 codes that dequantize to the nearest representable value.
// In both encoders a group that holds an infinity or a NaN gets a NaN scale, so that damage stays visible.
Int4Matrix QuantizeInt4(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size, Int4Offset offset);

// The same with scales and minima kept in f32: with kZero this is exactly the asymmetric grid of GPTQ's quantizer.
enum class ScaleStorage : uint8_t { kFp16, kF32 };
Int4Matrix QuantizeInt4(std::span<const float> rows, int64_t n, int64_t k, int64_t group_size, Int4Offset offset,
                        ScaleStorage storage);

// Exact dequantization to f32: out [N, K].
void Dequantize(const Int8Matrix& matrix, float* out);
void Dequantize(const Int4Matrix& matrix, float* out);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_GROUP_QUANT_H_
