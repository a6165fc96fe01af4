// Linear operators on packed panels. PanelLinear is one packed matrix and one ISA's kernels; CompositeLinear stacks
// operators along N, for parts that cannot share a scheme. Immutable; Run may be called by several threads at a time,
// each with its own ExecContext.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_OP_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_OP_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/linear_pack.h"

namespace bitrate::linear {

// fn(row) for the m rows of x [m, k]: by the workers, or by the caller alone where that is sooner done.
void ForRows(ExecContext& context, int64_t m, int64_t k, absl::FunctionRef<void(int64_t row)> fn);

// y[row, column ..] = out [rows, 64] + bias for the columns of one panel that exist; bias [N] or empty.
void StoreRows(const float* out, int64_t rows, int64_t panel, int64_t n, std::span<const float> bias, float* y,
               int64_t ldy);

class PanelLinear final : public LinearOp {
 public:
  // bias [N] or empty; refusals are the reasons of the candidates that were passed over.
  PanelLinear(std::shared_ptr<const PackedWeights> weights, std::span<const float> bias, const LinearKernels& kernels,
              std::vector<std::string> refusals);

  int64_t n() const override { return weights_->n(); }
  int64_t k() const override { return weights_->k(); }
  void Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const override;
  void GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const override;
  LinearInfo info() const override;
  std::vector<PackedPlane> PackedPlanes() const override { return weights_->planes(); }
  const PackedWeights& weights() const { return *weights_; }
  std::span<const float> bias() const { return bias_; }

 private:
  // Rows of x in the form that the kernels read: x itself, or a copy in scratch. One is set: `floats` or `codes.codes`.
  struct Input {
    const void* floats = nullptr;
    int64_t ld = 0;  // elements of `element_bytes`
    int64_t element_bytes = 4;
    Int8Rows codes;
  };
  Input PrepareInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const;
  Input QuantizeInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const;
  Input RoundInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const;
  void RunPanel(int64_t panel, const Input& input, int64_t m, float* y, int64_t ldy) const;

  std::shared_ptr<const PackedWeights> weights_;
  std::vector<float> bias_;  // [N] or empty
  const LinearKernels& kernels_;
  FloatPanelFn float_panel_ = nullptr;
  Int8PanelFn int8_panel_ = nullptr;
  int code_bytes_ = 1;
  std::vector<std::string> refusals_;
};

class CompositeLinear final : public LinearOp {
 public:
  explicit CompositeLinear(std::vector<std::shared_ptr<const LinearOp>> parts);

  int64_t n() const override { return n_; }
  int64_t k() const override { return parts_.front()->k(); }
  void Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const override;
  void GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const override;
  LinearInfo info() const override;
  std::vector<PackedPlane> PackedPlanes() const override;

 private:
  std::vector<std::shared_ptr<const LinearOp>> parts_;
  int64_t n_ = 0;
};

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_OP_H_
