// The CPU backend: linear operators from linear.h, everything else from the table of row operators of one ISA.
// Thread rule: immutable after construction, shared by all engine threads.
#ifndef BITRATE_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
#define BITRATE_ENGINE_BACKEND_CPU_CPU_BACKEND_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"
#include "engine/base/cpu_features.h"

namespace bitrate {

namespace linear {
class PackedStore;    // packed_store.h
class PrefillProbes;  // onednn_gemm.h
}  // namespace linear

class CpuBackend final : public Backend {
 public:
  // `isa` must be one that this CPU runs. force_reference: scalar kernels whatever `isa` says.
  // With a cache, packed weights are looked for there first; huge_pages copies what is found into 2 MiB pages.
  CpuBackend(Isa isa, bool force_reference, std::shared_ptr<TensorCache> cache = nullptr, bool huge_pages = false);
  ~CpuBackend() override;

  std::string_view name() const override { return "cpu"; }
  std::string_view isa() const override { return IsaName(isa_); }
  StatusOr<std::shared_ptr<const LinearOp>> PrepareLinear(const LinearSpec& spec, ExecContext& context) const override;
  std::string PreparedKey(const LinearSpec& spec) const override;
  std::shared_ptr<const LowRankOp> PrepareLowRank(std::span<const LowRankPart> parts, int64_t k) const override;
  void AddLowRank(ExecContext& context, std::span<const LowRankRows> groups, const float* x, int64_t ldx, float* y,
                  int64_t ldy) const override;
  void RmsNorm(ExecContext& context, const float* x, const float* weight, float eps, int64_t m, int64_t width,
               float* y) const override;
  void AddRmsNorm(ExecContext& context, float* x, const float* delta, const float* weight, float eps, int64_t m,
                  int64_t width, float* y) const override;
  void RmsNormSlices(ExecContext& context, float* x, int64_t ldx, const float* weight, float eps, int64_t m,
                     int64_t slices, int64_t width) const override;
  void Add(ExecContext& context, float* x, const float* delta, int64_t count) const override;
  void Scale(ExecContext& context, float* x, float factor, int64_t count) const override;
  void Softcap(ExecContext& context, float* x, float cap, int64_t count) const override;
  void GatedActivation(ExecContext& context, Activation activation, const float* gate_up, int64_t m, int64_t inter,
                       float* y) const override;
  void RouteExperts(ExecContext& context, float* logits, int64_t m, int64_t experts, int64_t k, bool renormalize,
                    int32_t* ids, float* weights) const override;
  void PickRows(ExecContext& context, const float* x, std::span<const int32_t> rows, int64_t width,
                float* out) const override;
  void CombineRows(ExecContext& context, const float* x, const int32_t* slots, const float* weights, int64_t m,
                   int64_t k, int64_t width, float* y) const override;
  void RopeAndStoreKv(ExecContext& context, const AttentionSpec& spec, const RopeTable& rope, int layer,
                      const KvBatch& batch, float* qkv) const override;
  void Attention(ExecContext& context, const AttentionSpec& spec, int layer, const KvBatch& batch, const float* qkv,
                 float* out) const override;

 private:
  Isa isa_;
  bool force_reference_;
  const VecOps& ops_;
  const std::unique_ptr<linear::PackedStore> store_;
  const std::unique_ptr<linear::PrefillProbes> probes_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
