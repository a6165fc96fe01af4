// The table of linear kernels that an instruction set supplies, and the packed layouts they read. Adding an ISA means
// one more table; nothing outside kernels/ knows how a kernel works.
//
// A kernel computes one panel (64 outputs) for up to kChunkRows rows of x, all of K. Thread rule: pure functions.
// Panel layouts, K padded with zeros to PaddedK(layout, k), rows past N zero:
//   f32   [K][64]         bf16  [K/2][64][2]      fp16  [K][64]
//   s8    [K/4][64][4]    u4    [K/8][64][4], low nibble of byte j = k + j, high nibble = k + 4 + j
// The f32, bf16 and s8 panels are oneDNN's BA16a64b, BA16a64b2a and BA16a64b4a, so one copy serves both.
// Planes: scale [G][64] f32 or fp16 (one f32 row when a row of W has one scale), offset [G][64] u8 zeros or minima.
// t4: codes as u4, offset a table [16] f32 of the whole panel: w = table[code] * scale, rounded to f32, then as f32.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_KERNELS_H_

#include <cstdint>

namespace bitrate::linear {

inline constexpr int kPanelRows = 64;
inline constexpr int kChunkRows = 64;  // 16 KiB of f32 results: half of L1

// The K block of the float reduction order (linear.h).
constexpr int64_t BlockK(int64_t k) { return k < 1024 ? 512 : 1024; }

struct Panel {
  const void* codes = nullptr;
  const void* scale = nullptr;
  const void* offset = nullptr;
  int64_t k = 0;            // true K
  int64_t group_size = 0;   // of the scale plane
  bool f32_planes = false;  // u4: scales and minima are f32, not fp16 (a branch in the kernels, always taken one way)
};

// Rows of x quantized to int8: codes [M, ld] s8 (or the same values as s16), zeros past K.
struct Int8Rows {
  const void* codes = nullptr;
  int64_t ld = 0;                // elements
  const float* scale = nullptr;  // [M, G]
  const int32_t* sum = nullptr;  // [M, G], the sum of a group's codes
  int64_t num_groups = 0;
};

// out [m, 64] = x [m, K] * panel^T; m in 1 .. kChunkRows. x is f32, or bf16 [m, ldx] for a dot-bf16 kernel.
using FloatPanelFn = void (*)(const Panel& panel, const void* x, int64_t ldx, int m, float* out);
using Int8PanelFn = void (*)(const Panel& panel, const Int8Rows& x, int m, float* out);

// One row: x [k] f32 to codes [k_padded], scale and sum [ceil(k / group)]. Every ISA gives the same bits:
//   amax is the largest magnitude (NaN above infinity); scale = amax / 127; code = round_half_even(x * (127 / amax)).
//   amax < kTinyAmax gives scale 0 and codes 0; an infinity or a NaN gives scale NaN and codes 0, so it stays visible.
using QuantizeRowFn = void (*)(const float* x, int64_t k, int64_t k_padded, int64_t group, void* codes, float* scale,
                               int32_t* sum);
inline constexpr float kTinyAmax = 1e-35f;  // 127 / amax stays finite

// One row rounded to bf16, as f32 values or as bf16 (what the table's bf16 kernel reads); zeros past k.
using RoundRowFn = void (*)(const float* x, int64_t k, int64_t k_padded, void* out);

// out [count] f32 = count fp16 values, count a multiple of 64.
using ExpandFp16Fn = void (*)(const void* halves, int64_t count, float* out);

struct LinearKernels {
  const char* isa;
  bool bf16_dot;  // the bf16 kernel reads bf16 rows and sums pairs of k, instead of f32 rows and single fma
  RoundRowFn round_bf16;
  ExpandFp16Fn expand_fp16;
  FloatPanelFn f32, bf16, fp16;
  FloatPanelFn s8_channel;  // weight-only: w = scale * q is rounded to f32, then as f32
  FloatPanelFn s8_group;    // fp16 scale plane, groups of 32
  FloatPanelFn u4[3];       // [Int4Offset]
  FloatPanelFn t4;          // f32 scale plane; offset is the table [16] f32
  int s8_code_bytes;        // what the int8 kernels want their activation codes widened to
  QuantizeRowFn quantize_s8, quantize_s16;
  Int8PanelFn int8_channel;  // one weight scale a row, activation groups of 64
  Int8PanelFn int8_token;    // one weight scale a row, one activation group
  Int8PanelFn int8_group;    // fp16 weight scales and activations per group of 32
  Int8PanelFn int4[3];       // [Int4Offset]; activation group = weight group; codes always s8
};

const LinearKernels& ScalarLinearKernels();
const LinearKernels& Avx2LinearKernels();
const LinearKernels& Avx512LinearKernels();

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_KERNELS_H_
