// The row operators of the CPU backend as one table of functions an ISA. Every ISA computes the same bits: each
// operator is written once (norm_, rope_, attention_ and vec_elementwise.h) over a 16-lane vector type whose lanes are
// IEEE f32 operations, and reduces over the same 16 lanes in the same order.
//
// Thread rule: pure functions on the caller's memory. No alignment is assumed.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_OPS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_OPS_H_

#include <cstdint>

namespace bitrate {

inline constexpr int kVecLanes = 16;
// Keys are reduced in chunks at absolute positions 0, 128, 256 ...: part of the numerics, not a tuning knob.
inline constexpr int kKvChunkTokens = 128;
inline constexpr int kKvChunkTiles = kKvChunkTokens / kVecLanes;

// n query vectors against one chunk of keys: softmax(q k) v with the chunk's own maximum, not yet divided by the sum.
struct AttendArgs {
  const float* const* q;  // [n] pointers to [D]
  int n;
  const int* first;            // [n] keys first .. last-1 of the chunk are seen; first < last
  const int* last;             // [n]
  int head_dim;                // D
  const void* const* k_tiles;  // [8] tile t, key i, dim d at k_tiles[t][d * k_stride + i]; null where no vector looks
  int64_t k_stride;
  // [8] tile t, key i: the factors k_scales[t][i] of its keys and v_scales[t][i] of its values; null: none (all 1).
  const float* const* k_scales;
  const float* const* v_scales;
  const void* const* v_tiles;       // [8] tile t, key i, dim d at v_tiles[t][i * D + d]
  bool prefetch;                    // the values lie far away: fetch them while the keys are read
  const void* const* next_k_tiles;  // [8] keys of the chunk that comes next, to fetch meanwhile; null = none
  float scale;
  float softcap;       // 0 = none
  float* scores;       // [n, 128] scratch
  float* max;          // [n] out: largest score
  float* sum;          // [n] out: sum of exp(score - max)
  float* acc;          // [n, acc_stride] out: sum of exp(score - max) * v, padded with zeros to 16 dims
  int64_t acc_stride;  // >= D rounded up to 16
};

// One vector's running softmax over the chunks so far.
struct SoftmaxState {
  float* max;
  float* sum;
  float* acc;  // [D rounded up to 16]
};

struct VecOps {
  void (*exp)(const float* x, int64_t n, float* y);
  void (*tanh)(const float* x, int64_t n, float* y);
  // One row each; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t width, float* y);
  void (*add_rms_norm)(float* x, const float* delta, const float* weight, float eps, int64_t width, float* y);
  void (*add)(float* x, const float* delta, int64_t n);
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*gelu_tanh_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*scale)(float factor, int64_t n, float* x);  // x *= factor
  void (*softcap)(float cap, int64_t n, float* x);   // x = cap * tanh(x / cap)
  // x [2 * half]: pairs (i, half + i) turned by (cos[i], sin[i]).
  void (*rope)(float* x, const float* cos, const float* sin, int half);
  // x [n] rounded to the cache's type.
  void (*to_bf16)(const float* x, int64_t n, uint16_t* y);
  void (*to_fp16)(const float* x, int64_t n, uint16_t* y);
  void (*from_bf16)(const uint16_t* x, int64_t n, float* y);
  void (*from_fp16)(const uint16_t* x, int64_t n, float* y);
  // codes [n] of x in steps of the returned scale; codes back as f32, unscaled (vec_elementwise.h).
  float (*quantize_i8)(const float* x, int64_t n, int8_t* codes);
  void (*from_i8)(const int8_t* codes, int64_t n, float* y);
  // t [rank] = scale * A x; A [rank, k]. y [n] += t B; B [rank, n].
  void (*low_rank_down)(const float* a, const float* x, int64_t rank, int64_t k, float scale, float* t);
  void (*low_rank_up)(const float* b, const float* t, int64_t rank, int64_t n, float* y);
  // By the keys' type.
  void (*attend_f32)(const AttendArgs& args);
  void (*attend_bf16)(const AttendArgs& args);
  void (*attend_fp16)(const AttendArgs& args);
  void (*attend_i8)(const AttendArgs& args);
  // into = into merged with chunk, `into` being the earlier keys; acc [padded_dim].
  void (*merge)(const SoftmaxState& into, const SoftmaxState& chunk, int padded_dim);
  void (*finish)(const SoftmaxState& state, int head_dim, float* out);  // out [D] = acc / sum
};

const VecOps& ScalarVecOps();
const VecOps& Avx2VecOps();    // call only where Isa::kAvx2 runs
const VecOps& Avx512VecOps();  // call only where Isa::kAvx512 runs

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_OPS_H_
