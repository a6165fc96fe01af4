// Weights packed into the panels of kernels/linear_kernels.h. Immutable after Pack; readable by any thread.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/linear_scheme.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/parallel.h"
#include "engine/format/weight_matrix.h"

namespace bitrate::linear {

class PackedWeights {
 public:
  // Packs `parts`, stacked along N, all of one K and one scheme; worker by worker, 64 rows at a time. Parts are valid:
  // the caller has checked sizes.
  static PackedWeights Pack(std::span<const WeightMatrix> parts, const Scheme& scheme, Parallel& parallel);

  const Scheme& scheme() const { return scheme_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t num_panels() const { return (n_ + kPanelRows - 1) / kPanelRows; }
  int64_t num_groups() const { return num_groups_; }  // of the scale plane
  uint64_t bytes() const { return codes_.bytes() + scale_.bytes() + offset_.bytes(); }
  Panel panel(int64_t index) const;
  std::vector<PackedPlane> planes() const;  // codes, then scales and offsets where the scheme has them

  // out [K] f32: exactly the values that the kernels multiply by.
  void DequantizeRow(int64_t row, float* out) const;

 private:
  class Writer;

  int64_t PlaneStride() const;   // bytes of one panel's scale plane
  int64_t OffsetStride() const;  // bytes of one panel's offset plane

  Scheme scheme_;
  int64_t n_ = 0, k_ = 0, num_groups_ = 0;
  AlignedBuffer<std::byte> codes_, scale_, offset_;
};

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_
