// The float kernels of every vector ISA, written once over a wrapper S of its intrinsics (linear_simd_<isa>.h):
// register tiles of M rows of x by V vectors of outputs over panels whose weights a loader W turns into f32 vectors.
//
// A tile keeps one accumulator per output and fmas in ascending k; between K sub-blocks the accumulators rest in
// memory, which changes no bit. S lives in an unnamed namespace, so every instantiation has internal linkage and
// code compiled for one ISA can never be linked into another's.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_FLOAT_TILE_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_FLOAT_TILE_H_

#include <cstdint>

#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/kernels/linear_unroll.h"
#include "engine/format/group_quant.h"

namespace bitrate::linear {

// Loaders. Load(p, k, v) fetches the weights k .. k + kStep - 1 of vector v of the panel (k a multiple of kStep);
// Get<j>(raw) gives those of k + j. kFuse: unpacking inside the tiles is cheap enough to be repeated for each; else a
// sub-block is unpacked to f32 once and shared by them. kMaxRows, Vectors(m): the tile that the registers hold. kBytes:
// what a step covers of a vector's codes; 0 where they are in cache already.
template <class S>
struct LoadF32 {
  static constexpr int kStep = 1, kMaxRows = S::kMaxFloatRows, kBytes = S::kLanes * 4;
  static constexpr bool kFuse = true;
  static constexpr int Vectors(int m) { return S::VectorsFromMemory(m); }
  using Raw = typename S::F;
  static Raw Load(const Panel& p, int64_t k, int v) {
    return S::LoadF(static_cast<const float*>(p.codes) + k * kPanelRows + v * S::kLanes);
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    return raw;
  }
};

// A sub-block unpacked to f32.
template <class S>
struct LoadUnpacked : LoadF32<S> {
  static constexpr int kBytes = 0;
};

template <class S>
struct LoadFp16 {
  static constexpr int kStep = 1, kMaxRows = S::kMaxFloatRows, kBytes = S::kLanes * 2;
  static constexpr bool kFuse = true;
  static constexpr int Vectors(int m) { return S::VectorsFromRegisters(m); }
  using Raw = typename S::F;
  static Raw Load(const Panel& p, int64_t k, int v) {
    return S::LoadFp16(static_cast<const uint16_t*>(p.codes) + k * kPanelRows + v * S::kLanes);
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    return raw;
  }
};

template <class S>
struct LoadBf16 {
  static constexpr int kStep = 2, kMaxRows = S::kMaxFloatRows - 1, kBytes = S::kLanes * 4;
  static constexpr bool kFuse = true;
  static constexpr int Vectors(int m) { return S::VectorsFromRegisters(m); }
  using Raw = typename S::I;
  static Raw Load(const Panel& p, int64_t k, int v) {
    return S::LoadI(static_cast<const uint16_t*>(p.codes) + k * kPanelRows + v * 2 * S::kLanes);
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    return kJ == 0 ? S::LowBf16(raw) : S::HighBf16(raw);
  }
};

template <class S, bool kGroups>
struct LoadS8 {
  static constexpr int kStep = 4, kMaxRows = 1, kBytes = S::kLanes * 4;
  static constexpr bool kFuse = false;
  static constexpr int Vectors(int m) { return S::VectorsFromRegisters(m); }
  struct Raw {
    typename S::I codes;
    typename S::F scale;
  };
  static Raw Load(const Panel& p, int64_t k, int v) {
    Raw raw;
    raw.codes = S::LoadI(static_cast<const int8_t*>(p.codes) + k * kPanelRows + v * 4 * S::kLanes);
    if constexpr (kGroups) {
      raw.scale = S::LoadFp16(static_cast<const uint16_t*>(p.scale) + k / 32 * kPanelRows + v * S::kLanes);
    } else {
      raw.scale = S::LoadF(static_cast<const float*>(p.scale) + v * S::kLanes);
    }
    return raw;
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    return S::Mul(raw.scale, S::ToF(S::template SignedByte<kJ>(raw.codes)));
  }
};

template <class S, Int4Offset kOffset>
struct LoadU4 {
  static constexpr int kStep = 8, kMaxRows = 1, kBytes = S::kLanes * 4;
  static constexpr bool kFuse = false;
  static constexpr int Vectors(int m) { return S::VectorsFromRegisters(m); }
  struct Raw {
    typename S::I codes, zero;
    typename S::F scale, min;
  };
  static typename S::F Plane(const Panel& p, const void* plane, int64_t index) {
    if (p.f32_planes) return S::LoadF(static_cast<const float*>(plane) + index);
    return S::LoadFp16(static_cast<const uint16_t*>(plane) + index);
  }
  static Raw Load(const Panel& p, int64_t k, int v) {
    Raw raw;
    const int64_t index = k / p.group_size * kPanelRows + v * S::kLanes;
    raw.codes = S::LoadI(static_cast<const uint8_t*>(p.codes) + k * (kPanelRows / 2) + v * 4 * S::kLanes);
    raw.scale = Plane(p, p.scale, index);
    if constexpr (kOffset == Int4Offset::kSymmetric) raw.zero = S::SetI(8);
    if constexpr (kOffset == Int4Offset::kZero) raw.zero = S::LoadU8(static_cast<const uint8_t*>(p.offset) + index);
    if constexpr (kOffset == Int4Offset::kMin) raw.min = Plane(p, p.offset, index);
    return raw;
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    const typename S::I code = S::template Nibble<kJ>(raw.codes);
    // The product and the sum round one after the other, as the formats' own dequantization does.
    if constexpr (kOffset == Int4Offset::kMin) return S::Add(S::Mul(raw.scale, S::ToF(code)), raw.min);
    return S::Mul(raw.scale, S::ToF(S::SubI(code, raw.zero)));
  }
};

template <class S>
struct LoadT4 {
  static constexpr int kStep = 8, kMaxRows = 1, kBytes = S::kLanes * 4;
  static constexpr bool kFuse = false;
  static constexpr int Vectors(int m) { return S::VectorsFromRegisters(m); }
  struct Raw {
    typename S::I codes;
    typename S::F scale;
    typename S::Table table;
  };
  static Raw Load(const Panel& p, int64_t k, int v) {
    Raw raw;
    raw.codes = S::LoadI(static_cast<const uint8_t*>(p.codes) + k * (kPanelRows / 2) + v * 4 * S::kLanes);
    raw.scale = S::LoadF(static_cast<const float*>(p.scale) + k / p.group_size * kPanelRows + v * S::kLanes);
    raw.table = S::LoadTable(static_cast<const float*>(p.offset));
    return raw;
  }
  template <int kJ>
  static typename S::F Get(const Raw& raw) {
    return S::Mul(S::Lookup(raw.table, S::template Nibble<kJ>(raw.codes)), raw.scale);
  }
};

inline constexpr int64_t kSubBlockK = 32;  // 8 KiB of f32 stay in L1 while the tiles walk them, beside the next 8
inline constexpr int64_t kMaxSubBlockK = 64;
inline constexpr int64_t kAheadBytes = 8192;

// The codes of one sub-block further on, for V vectors: the hardware's prefetchers do not follow stripes of a panel.
template <class S, class W, int kV>
BITRATE_INLINE inline void Prefetch(const Panel& p, int64_t k, int vector) {
  constexpr int kVectors = kPanelRows / S::kLanes;
  const char* at = static_cast<const char*>(p.codes) + ((k + kSubBlockK) / W::kStep * kVectors + vector) * W::kBytes;
  StaticFor<(kV * W::kBytes + 63) / 64>([&](auto line) BITRATE_INLINE { S::Prefetch(at + line * 64); });
}

// One row walks whole panels in order, faster than the hardware's prefetchers bring them: ahead of them, into L2.
template <class S, class W>
BITRATE_INLINE inline void PrefetchAhead(const Panel& p, int64_t k) {
  constexpr int kStepBytes = kPanelRows / S::kLanes * W::kBytes;
  const char* at = static_cast<const char*>(p.codes) + k / W::kStep * kStepBytes + kAheadBytes;
  StaticFor<kStepBytes / 64>([&](auto line) BITRATE_INLINE { S::PrefetchL2(at + line * 64); });
}

// One step of kCount (<= W::kStep) values of k.
template <class S, class W, int kV, int kM, int kCount>
BITRATE_INLINE inline void TileStep(const Panel& p, const float* x, int64_t ldx, int64_t k, int vector,
                                    typename S::F (&acc)[kM][kV]) {
  if constexpr (kM == 1) {
    if constexpr (W::kBytes > 0 && kV * S::kLanes == kPanelRows) PrefetchAhead<S, W>(p, k);
    StaticFor<kV>([&](auto v) BITRATE_INLINE {
      const auto raw = W::Load(p, k, vector + v);
      StaticFor<kCount>([&](auto j) BITRATE_INLINE {
        acc[0][v] = S::Fma(S::SetF(x[k + j]), W::template Get<decltype(j)::value>(raw), acc[0][v]);
      });
    });
  } else {
    if constexpr (W::kBytes > 0 && kV * S::kLanes < kPanelRows) Prefetch<S, W, kV>(p, k, vector);
    typename W::Raw raw[kV];
    StaticFor<kV>([&](auto v) BITRATE_INLINE { raw[v] = W::Load(p, k, vector + v); });
    StaticFor<kCount>([&](auto j) BITRATE_INLINE {
      typename S::F w[kV];
      StaticFor<kV>([&](auto v) BITRATE_INLINE { w[v] = W::template Get<decltype(j)::value>(raw[v]); });
      StaticFor<kM>([&](auto i) BITRATE_INLINE {
        const typename S::F xi = S::SetF(x[i * ldx + k + j]);
        StaticFor<kV>([&](auto v) BITRATE_INLINE { acc[i][v] = S::Fma(xi, w[v], acc[i][v]); });
      });
    });
  }
}

// acc [M, 64] += x [M, begin .. end) * panel for the vectors [vector, vector + V).
template <class S, class W, int kV, int kM>
BITRATE_NOINLINE void Tile(const Panel& p, const float* x, int64_t ldx, int64_t begin, int64_t end, int vector,
                           float* out) {
  typename S::F acc[kM][kV];
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kV>([&](auto v)
                      BITRATE_INLINE { acc[i][v] = S::LoadF(out + i * kPanelRows + (vector + v) * S::kLanes); });
  });
  int64_t k = begin;
  for (; k + W::kStep <= end; k += W::kStep) TileStep<S, W, kV, kM, W::kStep>(p, x, ldx, k, vector, acc);
  if constexpr (W::kStep > 1) {
    // The end of K inside a step: x ends there, so no further element may be read.
    StaticFor<W::kStep - 1>([&](auto j) BITRATE_INLINE {
      constexpr int kCount = decltype(j)::value + 1;
      if (end - k == kCount) TileStep<S, W, kV, kM, kCount>(p, x, ldx, k, vector, acc);
    });
  }
  StaticFor<kM>([&](auto i) BITRATE_INLINE {
    StaticFor<kV>([&](auto v)
                      BITRATE_INLINE { S::StoreF(out + i * kPanelRows + (vector + v) * S::kLanes, acc[i][v]); });
  });
}

template <class S, class W, int kM>
void Stripes(const Panel& p, const float* x, int64_t ldx, int64_t begin, int64_t end, float* out) {
  constexpr int kVectors = kPanelRows / S::kLanes, kV = W::Vectors(kM);
  for (int vector = 0; vector < kVectors; vector += kV) {
    Tile<S, W, kV, kM>(p, x, ldx, begin, end, vector, out);
  }
}

// Rows of x in tiles of nearly equal height (9 = 5 + 4): no cliff behind a multiple of the tile.
template <class S, class W>
void Tiles(const Panel& p, const float* x, int64_t ldx, int64_t begin, int64_t end, int m, float* out) {
  constexpr int kMaxRows = W::kMaxRows;
  const int tiles = (m + kMaxRows - 1) / kMaxRows;
  for (int t = 0, row = 0; t < tiles; ++t) {
    const int rows = m / tiles + (t < m % tiles ? 1 : 0);
    StaticFor<kMaxRows>([&](auto j) BITRATE_INLINE {
      constexpr int kM = decltype(j)::value + 1;
      if (rows == kM) Stripes<S, W, kM>(p, x + row * ldx, ldx, begin, end, out + row * kPanelRows);
    });
    row += rows;
  }
}

// tile [end - begin, 64] f32 = the panel's weights of [begin, end).
template <class S, class W>
void UnpackTile(const Panel& p, int64_t begin, int64_t end, float* tile) {
  for (int64_t k = begin; k < end; k += W::kStep) {
    for (int v = 0; v < kPanelRows / S::kLanes; ++v) {
      const auto raw = W::Load(p, k, v);
      StaticFor<W::kStep>([&](auto j) BITRATE_INLINE {
        S::StoreF(tile + (k - begin + j) * kPanelRows + v * S::kLanes, W::template Get<decltype(j)::value>(raw));
      });
    }
  }
}

template <class S, class W>
void FloatPanel(const Panel& p, const void* rows, int64_t ldx, int m, float* out) {
  const float* x = static_cast<const float*>(rows);
  alignas(64) float acc[kChunkRows * kPanelRows];
  alignas(64) float tile[kMaxSubBlockK * kPanelRows];
  const int count = m * kPanelRows;
  for (int i = 0; i < count; ++i) out[i] = 0.0f;
  // One pass over the weights needs no sub-blocks.
  const bool single = m <= W::kMaxRows && W::Vectors(m) == kPanelRows / S::kLanes;
  for (int64_t begin = 0; begin < p.k; begin += BlockK(p.k)) {
    const int64_t end = begin + BlockK(p.k) < p.k ? begin + BlockK(p.k) : p.k;
    // Many tiles: their accumulators' way through memory costs more than a late cache line.
    const int64_t step = single ? BlockK(p.k) : m > 2 * W::kMaxRows ? kMaxSubBlockK : kSubBlockK;
    for (int i = 0; i < count; ++i) acc[i] = 0.0f;
    for (int64_t sub = begin; sub < end; sub += step) {
      const int64_t sub_end = sub + step < end ? sub + step : end;
      if (W::kFuse || m <= W::kMaxRows) {
        Tiles<S, W>(p, x, ldx, sub, sub_end, m, acc);
      } else if constexpr (!W::kFuse) {
        UnpackTile<S, W>(p, sub, sub_end, tile);
        Panel unpacked;
        unpacked.codes = tile;
        Tiles<S, LoadUnpacked<S>>(unpacked, x + sub, ldx, 0, sub_end - sub, m, acc);
      }
    }
    for (int i = 0; i < count; ++i) out[i] += acc[i];
  }
}

// The float part of an ISA's table.
template <class S>
constexpr void FillFloatKernels(LinearKernels& table) {
  table.f32 = FloatPanel<S, LoadF32<S>>;
  table.bf16 = FloatPanel<S, LoadBf16<S>>;
  table.fp16 = FloatPanel<S, LoadFp16<S>>;
  table.s8_channel = FloatPanel<S, LoadS8<S, false>>;
  table.s8_group = FloatPanel<S, LoadS8<S, true>>;
  table.t4 = FloatPanel<S, LoadT4<S>>;
  StaticFor<3>([&](auto j) BITRATE_INLINE {
    constexpr int kOffset = decltype(j)::value;
    table.u4[kOffset] = FloatPanel<S, LoadU4<S, static_cast<Int4Offset>(kOffset)>>;
  });
}

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_FLOAT_TILE_H_
