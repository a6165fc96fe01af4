// How a matrix is held and multiplied: the precision resolved for one matrix (a head differs, a 4-bit source keeps its
// grid). Values, thread-safe.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_SCHEME_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_SCHEME_H_

#include <array>
#include <cstdint>
#include <string>

#include "engine/format/precision.h"
#include "engine/format/weight_matrix.h"

namespace bitrate::linear {

// kT4: codes as kU4, looked up in a table of 16. kSource: rows as the checkpoint has them, decoded to f32 a panel at a
// time (linear_source.h), for formats that no panel layout holds without loss.
enum class Layout : uint8_t { kF32, kBf16, kFp16, kS8Channel, kS8Group, kU4, kT4, kSource };
enum class Math : uint8_t { kFloat, kInt8Groups, kInt8Token };

struct Scheme {
  Layout layout = Layout::kF32;
  Math math = Math::kFloat;
  int group_size = 0;                          // weights sharing a scale along K; 0 = the whole row, or none
  Int4Offset offset = Int4Offset::kSymmetric;  // kU4
  bool f32_planes = false;                     // kU4: scales and minima in f32, where fp16 cannot hold them
  bool repack = false;                         // the source's own codes and scales are moved, not rounded again
  std::array<float, 16> table = {};            // kT4
  std::string source;                          // kSource: the name of the format

  // Elements of K that share an activation scale; `k` when a token has one.
  int64_t ActivationGroup(int64_t k) const;
  std::string Name() const;  // "int4-g64-w4a8"
  double WeightBits(int64_t k) const;
  friend bool operator==(const Scheme&, const Scheme&) = default;
};

Scheme ResolveScheme(const Precision& precision, bool is_head, const WeightMatrix& matrix);

// K as the layout stores it: what its kernels step by, and oneDNN's blocks for the layouts it shares.
int64_t PaddedK(Layout layout, int64_t k);
// Bytes of one panel's codes.
int64_t PanelCodeBytes(Layout layout, int64_t k);

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_SCHEME_H_
