// Attention of a few query vectors over one chunk of keys, and the merge of chunks, over the 16-lane vectors.
//
// Order, the same for every ISA and tiling: a score is an ascending fma over dims from zero, times the key's factor
// where it has one, times the scale (then the softcap); a value's factor multiplies its weight, after the sum; the
// chunk's sum of exponentials has 16 partials (key % 16, ascending) added as V::ReduceAdd; an output dim is an
// ascending fma over the visible keys from zero. Keys that a vector does not see never enter its arithmetic, so what
// lies there (a later token, another sequence's old data) cannot matter.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_ATTENTION_KERNELS_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_ATTENTION_KERNELS_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/vec_elementwise.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

// How a register of keys or values is read; LoadN: lanes from n on are zero, n may be negative.
template <typename R>
struct KvF32 {
  using Element = float;
  static R Load(const float* p) { return R::Load(p); }
  static R LoadN(const float* p, int n) { return n >= R::kLanes ? Load(p) : R::LoadN(p, n > 0 ? n : 0); }
};
template <typename R>
struct KvBf16 {
  using Element = uint16_t;
  static R Load(const uint16_t* p) { return R::LoadBf16(p); }
  static R LoadN(const uint16_t* p, int n) { return n >= R::kLanes ? Load(p) : R::LoadBf16N(p, n > 0 ? n : 0); }
};
template <typename R>
struct KvFp16 {
  using Element = uint16_t;
  static R Load(const uint16_t* p) { return R::LoadFp16(p); }
  static R LoadN(const uint16_t* p, int n) { return n >= R::kLanes ? Load(p) : R::LoadFp16N(p, n > 0 ? n : 0); }
};

template <typename R>
struct KvI8 {
  using Element = int8_t;
  static R Load(const int8_t* p) { return R::LoadI8(p); }
  static R LoadN(const int8_t* p, int n) { return n >= R::kLanes ? Load(p) : R::LoadI8N(p, n > 0 ? n : 0); }
};

// Fetches what the next phase reads: a KV head's keys of 16 tokens are a stream too short for the hardware to predict.
inline void Prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }

// Raw scores of Q vectors for T tiles of 16 keys: keys in lanes, so no horizontal add. Q x T tiles of accumulators stay
// in registers beside the smaller of (Q queries, T tiles of keys): the other side passes through one register. (With
// one register too few the compiler keeps an accumulator in memory, which halves the speed.)
template <typename V, typename Kv, int Q, int T>
inline void ScoreTiles(const AttendArgs& args, int vector, int tile) {
  using R = typename V::Register;
  constexpr int kParts = kVecLanes / R::kLanes, kKeys = T * kParts;
  const typename Kv::Element* k[T];
  const char* ahead[T];
  const float* q[Q];
  R score[Q][kKeys];
  const int64_t ahead_step = args.prefetch ? kVecLanes * sizeof(typename Kv::Element) : 0;
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    k[t] = static_cast<const typename Kv::Element*>(args.k_tiles[tile + t]);
    ahead[t] = static_cast<const char*>(args.v_tiles[tile + t]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    q[i] = args.q[vector + i];
#pragma GCC unroll 16
    for (int t = 0; t < kKeys; ++t) score[i][t] = R::Set(0.0f);
  }
  const int64_t stride = args.k_stride;
  for (int d = 0; d < args.head_dim; ++d) {
    if constexpr (Q <= kKeys) {
      R query[Q];
#pragma GCC unroll 8
      for (int i = 0; i < Q; ++i) query[i] = R::Set(q[i][d]);
#pragma GCC unroll 16
      for (int t = 0; t < kKeys; ++t) {
        const R keys = Kv::Load(k[t / kParts] + t % kParts * R::kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < Q; ++i) score[i][t] = R::Fma(query[i], keys, score[i][t]);
      }
    } else {
      R keys[kKeys];
#pragma GCC unroll 16
      for (int t = 0; t < kKeys; ++t) keys[t] = Kv::Load(k[t / kParts] + t % kParts * R::kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < Q; ++i) {
        const R query = R::Set(q[i][d]);
#pragma GCC unroll 16
        for (int t = 0; t < kKeys; ++t) score[i][t] = R::Fma(query, keys[t], score[i][t]);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      k[t] += stride;
      Prefetch(ahead[t]);
      ahead[t] += ahead_step;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    float* out = args.scores + static_cast<int64_t>(vector + i) * kKvChunkTokens + tile * kVecLanes;
#pragma GCC unroll 16
    for (int t = 0; t < kKeys; ++t) R::Store(out + t * R::kLanes, score[i][t]);
  }
}

// What WeighValues brings near while it reads the values of `key`: a sixteenth of the next chunk's tile of keys.
template <typename Kv>
inline void PrefetchNextKeys(const AttendArgs& args, int key) {
  const auto* next = static_cast<const typename Kv::Element*>(args.next_k_tiles[key / kVecLanes]);
  const int step = (args.head_dim + kVecLanes - 1) / kVecLanes;
  next += key % kVecLanes * step * args.k_stride;
  for (int d = 0; d < step; ++d) Prefetch(next + d * args.k_stride);
}

// acc of Q vectors += p * v over keys begin .. end-1 for T tiles of 16 dims from `dim`; kPartial: the last tile ends
// at D.
template <typename V, typename Kv, int Q, int T, bool kPartial>
inline void WeighValues(const AttendArgs& args, int vector, int dim, int begin, int end) {
  using R = typename V::Register;
  constexpr int kDims = T * kVecLanes / R::kLanes;
  if (begin >= end) return;
  R acc[Q][kDims];
  const float* p[Q];
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
    p[i] = args.scores + static_cast<int64_t>(vector + i) * kKvChunkTokens;
#pragma GCC unroll 16
    for (int t = 0; t < kDims; ++t)
      acc[i][t] = R::Load(args.acc + (vector + i) * args.acc_stride + dim + t * R::kLanes);
  }
  const auto load = [&](const typename Kv::Element* row, int t) {
    if constexpr (kPartial) return Kv::LoadN(row + t * R::kLanes, args.head_dim - dim - t * R::kLanes);
    return Kv::Load(row + t * R::kLanes);
  };
  const bool prefetch = args.next_k_tiles != nullptr && dim == 0;
  for (int key = begin; key < end;) {
    const auto* tile = static_cast<const typename Kv::Element*>(args.v_tiles[key / kVecLanes]);
    const typename Kv::Element* row = tile + static_cast<int64_t>(key % kVecLanes) * args.head_dim + dim;
    const int tile_end = (key / kVecLanes + 1) * kVecLanes;
    for (const int stop = tile_end < end ? tile_end : end; key < stop; ++key, row += args.head_dim) {
      if (prefetch) PrefetchNextKeys<Kv>(args, key);
      if constexpr (Q <= kDims) {
        R weight[Q];
#pragma GCC unroll 8
        for (int i = 0; i < Q; ++i) weight[i] = R::Set(p[i][key]);
#pragma GCC unroll 16
        for (int t = 0; t < kDims; ++t) {
          const R values = load(row, t);
#pragma GCC unroll 8
          for (int i = 0; i < Q; ++i) acc[i][t] = R::Fma(weight[i], values, acc[i][t]);
        }
      } else {
        R values[kDims];
#pragma GCC unroll 16
        for (int t = 0; t < kDims; ++t) values[t] = load(row, t);
#pragma GCC unroll 8
        for (int i = 0; i < Q; ++i) {
          const R weight = R::Set(p[i][key]);
#pragma GCC unroll 16
          for (int t = 0; t < kDims; ++t) acc[i][t] = R::Fma(weight, values[t], acc[i][t]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Q; ++i) {
#pragma GCC unroll 16
    for (int t = 0; t < kDims; ++t)
      R::Store(args.acc + (vector + i) * args.acc_stride + dim + t * R::kLanes, acc[i][t]);
  }
}

// Scores of one vector, tiles first / 16 .. , to exp(score - max) with max and sum.
template <typename V>
inline void SoftmaxChunk(const AttendArgs& args, int vector) {
  const int first = args.first[vector], last = args.last[vector];
  float* scores = args.scores + static_cast<int64_t>(vector) * kKvChunkTokens;
  const float minus_infinity = -__builtin_inff();
  const auto visible = [&](int key) { return first <= key && key + kVecLanes <= last; };  // a tile, whole
  V largest = V::Set(minus_infinity);
  const int begin = first / kVecLanes * kVecLanes;
  for (int key = begin; key < last; key += kVecLanes) {
    V s = V::Load(scores + key);
    if (args.k_scales != nullptr) s = V::Mul(s, V::Load(args.k_scales[key / kVecLanes]));
    s = V::Mul(s, V::Set(args.scale));
    if (args.softcap > 0) s = V::Mul(VecTanh(V::Div(s, V::Set(args.softcap))), V::Set(args.softcap));
    if (!visible(key)) s = V::KeepLanes(s, first - key, last - key, minus_infinity);
    largest = V::Max(largest, s);
    V::Store(scores + key, s);
  }
  const float max = V::ReduceMax(largest);
  V sum = V::Set(0.0f);
  for (int key = begin; key < last; key += kVecLanes) {
    V p = VecExpNonPositive(V::Sub(V::Load(scores + key), V::Set(max)));
    if (!visible(key)) p = V::KeepLanes(p, first - key, last - key, 0.0f);
    sum = V::Add(sum, p);
    if (args.v_scales != nullptr) {
      p = V::Mul(p, V::Load(args.v_scales[key / kVecLanes]));
      if (!visible(key)) p = V::KeepLanes(p, first - key, last - key, 0.0f);
    }
    V::Store(scores + key, p);
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

// As few groups of vectors as registers allow, alike in size: each converts the keys and values that it reads.
template <typename V, typename Kv>
void AttendChunk(const AttendArgs& args) {
  constexpr int kMost = 6;
  int groups = (args.n + kMost - 1) / kMost;
  for (int vector = 0; vector < args.n; --groups) {
    const int count = (args.n - vector + groups - 1) / groups;
    switch (count) {
      case 1:
        AttendVectors<V, Kv, 1>(args, vector);
        break;
      case 2:
        AttendVectors<V, Kv, 2>(args, vector);
        break;
      case 3:
        AttendVectors<V, Kv, 3>(args, vector);
        break;
      case 4:
        AttendVectors<V, Kv, 4>(args, vector);
        break;
      case 5:
        AttendVectors<V, Kv, 5>(args, vector);
        break;
      default:
        AttendVectors<V, Kv, kMost>(args, vector);
    }
    vector += count;
  }
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
