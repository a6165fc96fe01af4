// Attention of a few query vectors over one chunk of keys, and the merge of chunks, over the 16-lane vectors.
//
// Order, the same for every ISA and tiling: a score is an ascending fma over dims from zero, times the scale (then the
// softcap); the chunk's sum of exponentials has 16 partials (key % 16, ascending) added as V::ReduceAdd; an output dim
// is an ascending fma over the visible keys from zero. Keys that a vector does not see never enter its arithmetic, so
// what lies there (a later token, another sequence's old data) cannot matter.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_ATTENTION_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_ATTENTION_KERNELS_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/vec_elementwise.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

template <typename V>
struct KvF32 {
  using Element = float;
  static V Load(const float* p) { return V::Load(p); }
  static V LoadN(const float* p, int n) { return V::LoadN(p, n); }
};
template <typename V>
struct KvBf16 {
  using Element = uint16_t;
  static V Load(const uint16_t* p) { return V::LoadBf16(p); }
  static V LoadN(const uint16_t* p, int n) { return V::LoadBf16N(p, n); }
};
template <typename V>
struct KvFp16 {
  using Element = uint16_t;
  static V Load(const uint16_t* p) { return V::LoadFp16(p); }
  static V LoadN(const uint16_t* p, int n) { return V::LoadFp16N(p, n); }
};

// Raw scores of Q vectors for T tiles of 16 keys: keys in lanes, so no horizontal add.
template <typename V, typename Kv, int Q, int T>
inline void ScoreTiles(const AttendArgs& args, int vector, int tile) {
  const typename Kv::Element* k[T];
  const float* q[Q];
  V score[Q][T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) k[t] = static_cast<const typename Kv::Element*>(args.k_tiles[tile + t]);
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    q[i] = args.q[vector + i];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) score[i][t] = V::Set(0.0f);
  }
  const int64_t stride = args.k_stride;
  for (int d = 0; d < args.head_dim; ++d) {
    V keys[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      keys[t] = Kv::Load(k[t]);
      k[t] += stride;
    }
#pragma GCC unroll 8
    for (int i = 0; i < Q; ++i) {
      const V query = V::Set(q[i][d]);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) score[i][t] = V::Fma(query, keys[t], score[i][t]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    float* out = args.scores + static_cast<int64_t>(vector + i) * kKvChunkTokens + tile * kVecLanes;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) V::Store(out + t * kVecLanes, score[i][t]);
  }
}

// acc of Q vectors += p * v over keys begin .. end-1 for T groups of 16 dims from `dim`; kPartial: the last group ends
// at D.
template <typename V, typename Kv, int Q, int T, bool kPartial>
inline void WeighValues(const AttendArgs& args, int vector, int dim, int begin, int end) {
  if (begin >= end) return;
  V acc[Q][T];
  const float* p[Q];
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    p[i] = args.scores + static_cast<int64_t>(vector + i) * kKvChunkTokens;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) acc[i][t] = V::Load(args.acc + (vector + i) * args.acc_stride + dim + t * kVecLanes);
  }
  for (int key = begin; key < end;) {
    const auto* tile = static_cast<const typename Kv::Element*>(args.v_tiles[key / kVecLanes]);
    const typename Kv::Element* row = tile + static_cast<int64_t>(key % kVecLanes) * args.head_dim + dim;
    const int tile_end = (key / kVecLanes + 1) * kVecLanes;
    for (const int stop = tile_end < end ? tile_end : end; key < stop; ++key, row += args.head_dim) {
      V values[T];
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        values[t] = kPartial ? Kv::LoadN(row + t * kVecLanes, args.head_dim - dim) : Kv::Load(row + t * kVecLanes);
      }
#pragma GCC unroll 8
      for (int i = 0; i < Q; ++i) {
        const V weight = V::Set(p[i][key]);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) acc[i][t] = V::Fma(weight, values[t], acc[i][t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) V::Store(args.acc + (vector + i) * args.acc_stride + dim + t * kVecLanes, acc[i][t]);
  }
}

// Scores of one vector, tiles first / 16 .. , to exp(score - max) with max and sum.
template <typename V>
inline void SoftmaxChunk(const AttendArgs& args, int vector) {
  const int first = args.first[vector], last = args.last[vector];
  float* scores = args.scores + static_cast<int64_t>(vector) * kKvChunkTokens;
  const float minus_infinity = -__builtin_inff();
  V largest = V::Set(minus_infinity);
  const int begin = first / kVecLanes * kVecLanes;
  for (int key = begin; key < last; key += kVecLanes) {
    V s = V::Mul(V::Load(scores + key), V::Set(args.scale));
    if (args.softcap > 0) s = V::Mul(VecTanh(V::Div(s, V::Set(args.softcap))), V::Set(args.softcap));
    s = V::KeepLanes(s, first - key, last - key, minus_infinity);
    largest = V::Max(largest, s);
    V::Store(scores + key, s);
  }
  const float max = V::ReduceMax(largest);
  V sum = V::Set(0.0f);
  for (int key = begin; key < last; key += kVecLanes) {
    const V p = VecExp(V::Sub(V::Load(scores + key), V::Set(max)));
    const V visible = V::KeepLanes(p, first - key, last - key, 0.0f);
    sum = V::Add(sum, visible);
    V::Store(scores + key, visible);
  }
  args.max[vector] = max;
  args.sum[vector] = V::ReduceAdd(sum);
}

// Values for Q vectors and one group of dims: keys that all of them see share each load; the others are added by
// each vector alone, before and after, which keeps every vector's keys ascending.
template <typename V, typename Kv, int Q, int T, bool kPartial>
inline void WeighRagged(const AttendArgs& args, int vector, int dim) {
  int begin = args.first[vector], end = args.last[vector];
  for (int i = 1; i < Q; ++i) {
    if (args.first[vector + i] > begin) begin = args.first[vector + i];
    if (args.last[vector + i] < end) end = args.last[vector + i];
  }
  if (end < begin) end = begin = args.last[vector];  // nothing in common: see below
  for (int i = 0; i < Q; ++i) {
    const int last = args.last[vector + i];
    WeighValues<V, Kv, 1, T, kPartial>(args, vector + i, dim, args.first[vector + i], begin < last ? begin : last);
  }
  WeighValues<V, Kv, Q, T, kPartial>(args, vector, dim, begin, end);
  for (int i = 0; i < Q; ++i) {
    const int first = args.first[vector + i];
    WeighValues<V, Kv, 1, T, kPartial>(args, vector + i, dim, end > first ? end : first, args.last[vector + i]);
  }
}

template <typename V, typename Kv, int Q>
inline void AttendVectors(const AttendArgs& args, int vector) {
  constexpr int kFit = V::kTiles / Q;
  constexpr int T = kFit >= 8 ? 8 : kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  int begin = args.first[vector], end = args.last[vector];
  for (int i = 1; i < Q; ++i) {
    if (args.first[vector + i] < begin) begin = args.first[vector + i];
    if (args.last[vector + i] > end) end = args.last[vector + i];
  }
  int tile = begin / kVecLanes;
  const int tile_end = (end + kVecLanes - 1) / kVecLanes;
  for (; tile + T <= tile_end; tile += T) ScoreTiles<V, Kv, Q, T>(args, vector, tile);
  for (; tile < tile_end; ++tile) ScoreTiles<V, Kv, Q, 1>(args, vector, tile);
  for (int i = 0; i < Q; ++i) {
    SoftmaxChunk<V>(args, vector + i);
    for (int d = 0; d < args.head_dim; d += kVecLanes) {
      V::Store(args.acc + (vector + i) * args.acc_stride + d, V::Set(0.0f));
    }
  }
  int dim = 0;
  for (; dim + T * kVecLanes <= args.head_dim; dim += T * kVecLanes) WeighRagged<V, Kv, Q, T, false>(args, vector, dim);
  for (; dim + kVecLanes <= args.head_dim; dim += kVecLanes) WeighRagged<V, Kv, Q, 1, false>(args, vector, dim);
  if (dim < args.head_dim) WeighRagged<V, Kv, Q, 1, true>(args, vector, dim);
}

// Vectors three at a time, and two by two what three does not divide: what fits the registers with two tiles each.
template <typename V, typename Kv>
void AttendChunk(const AttendArgs& args) {
  int vector = 0;
  while (args.n - vector >= 5 || args.n - vector == 3) {
    AttendVectors<V, Kv, 3>(args, vector);
    vector += 3;
  }
  for (; args.n - vector >= 2; vector += 2) AttendVectors<V, Kv, 2>(args, vector);
  if (vector < args.n) AttendVectors<V, Kv, 1>(args, vector);
}

// a = e^(M - m), b = e^(m' - m) with m the larger maximum: sum = fma(sum, a, sum' * b), acc likewise.
template <typename V>
void MergeChunk(const SoftmaxState& into, const SoftmaxState& chunk, int padded_dim) {
  const float max = *into.max > *chunk.max ? *into.max : *chunk.max;
  const V a = VecExp(V::Set(*into.max - max));
  const V b = VecExp(V::Set(*chunk.max - max));
  V::StoreN(into.sum, V::Fma(V::Set(*into.sum), a, V::Mul(V::Set(*chunk.sum), b)), 1);
  *into.max = max;
  for (int d = 0; d < padded_dim; d += kVecLanes) {
    V::Store(into.acc + d, V::Fma(V::Load(into.acc + d), a, V::Mul(V::Load(chunk.acc + d), b)));
  }
}

template <typename V>
void FinishRow(const SoftmaxState& state, int head_dim, float* out) {
  const V sum = V::Set(*state.sum);
  for (int d = 0; d < head_dim; d += kVecLanes) StoreUpTo(out + d, V::Div(V::Load(state.acc + d), sum), head_dim - d);
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_ATTENTION_KERNELS_H_
