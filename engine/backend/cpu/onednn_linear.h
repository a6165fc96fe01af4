// A linear operator that gives many rows at a time to oneDNN and the rest to the own kernels, whose bits are the same.
#ifndef BITRATE_ENGINE_BACKEND_CPU_ONEDNN_LINEAR_H_
#define BITRATE_ENGINE_BACKEND_CPU_ONEDNN_LINEAR_H_

#include <memory>

#include "engine/backend/cpu/linear_op.h"
#include "engine/backend/cpu/onednn_gemm.h"

namespace bitrate::linear {

class PrefillLinear final : public LinearOp {
 public:
  PrefillLinear(std::shared_ptr<const PanelLinear> own, std::shared_ptr<const PrefillGemm> gemm)
      : own_(std::move(own)), gemm_(std::move(gemm)) {}

  int64_t n() const override { return own_->n(); }
  int64_t k() const override { return own_->k(); }
  void Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const override;
  void GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const override {
    own_->GatherRows(context, ids, out);
  }
  LinearInfo info() const override;
  std::vector<PackedPlane> PackedPlanes() const override { return own_->PackedPlanes(); }

 private:
  // Parts of the scratch memory, as offsets.
  struct Plan {
    int64_t scales, failed, workers, worker_bytes, total;
  };
  Plan PlanScratch(int64_t rows, int workers) const;
  // The first `rows` rows (a multiple of the smallest bucket). False when oneDNN failed somewhere.
  bool RunGemm(ExecContext& context, const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy) const;
  bool RunPanel(int64_t panel, const std::byte* source, const float* scales, int64_t rows, std::byte* scratch, float* y,
                int64_t ldy) const;

  std::shared_ptr<const PanelLinear> own_;
  std::shared_ptr<const PrefillGemm> gemm_;
};

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_ONEDNN_LINEAR_H_
