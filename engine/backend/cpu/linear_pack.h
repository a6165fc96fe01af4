// Weights packed into the panels of kernels/linear_kernels.h, in memory of their own or in a mapped file that holds the
// same bytes. Immutable after Pack; readable by any thread.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/linear_scheme.h"
#include "engine/base/parallel.h"
#include "engine/format/weight_matrix.h"

namespace bitrate::linear {

// Of the packed bytes of all schemes. A change of what Pack writes for any of them raises it: files that hold the bytes
// of another version are then not found.
inline constexpr int kPackVersion = 1;

class PackedWeights {
 public:
  // Packs `parts`, stacked along N, all of one K and one scheme; worker by worker, 64 rows at a time. Parts are valid:
  // the caller has checked sizes. The bytes depend on parts and scheme only, not on the ISA or the workers.
  static PackedWeights Pack(std::span<const WeightMatrix> parts, const Scheme& scheme, Parallel& parallel);

  using Planes = std::array<std::span<const std::byte>, 3>;  // codes, scales, offsets; 64-byte aligned, may be empty
  // Over the planes of an earlier Pack of these rows, as `owner` holds them. Nothing where their sizes do not fit.
  static std::optional<PackedWeights> FromPlanes(const Scheme& scheme, int64_t n, int64_t k, const Planes& planes,
                                                 std::shared_ptr<const void> owner, bool mapped);
  // The same with its planes copied by the workers into memory of its own, on 2 MiB pages.
  PackedWeights Copy(Parallel& parallel) const;

  const Scheme& scheme() const { return scheme_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t num_panels() const { return (n_ + kPanelRows - 1) / kPanelRows; }
  int64_t num_groups() const { return num_groups_; }  // of the scale plane
  uint64_t bytes() const { return planes_[0].size() + planes_[1].size() + planes_[2].size(); }
  bool mapped() const { return mapped_; }  // pages of a file, not private memory
  const Planes& stored_planes() const { return planes_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  Panel panel(int64_t index) const;
  std::vector<PackedPlane> planes() const;  // codes, then scales and offsets where the scheme has them

  // out [K] f32: exactly the values that the kernels multiply by.
  void DequantizeRow(int64_t row, float* out) const;

 private:
  class Writer;

  PackedWeights(const Scheme& scheme, int64_t n, int64_t k);
  int64_t PlaneStride() const;   // bytes of one panel's scale plane
  int64_t OffsetStride() const;  // bytes of one panel's offset plane
  std::array<size_t, 3> PlaneBytes() const;
  std::array<std::byte*, 3> Allocate();

  Scheme scheme_;
  int64_t n_ = 0, k_ = 0, num_groups_ = 0;
  Planes planes_;
  std::shared_ptr<const void> owner_;
  bool mapped_ = false;
};

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_PACK_H_
