#include "engine/backend/cpu/cpu_backend.h"

#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/linear.h"
#include "engine/backend/cpu/onednn_gemm.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/backend/cpu/packed_store.h"
#include "engine/backend/cpu/rope.h"
#include "engine/base/check.h"

namespace bitrate {

const VecOps& VecOpsFor(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return ScalarVecOps();
    case Isa::kAvx2:
      return Avx2VecOps();
    case Isa::kAvx512:
      return Avx512VecOps();
  }
  return ScalarVecOps();
}

CpuBackend::CpuBackend(Isa isa, bool force_reference, std::shared_ptr<TensorCache> cache, bool huge_pages)
    : isa_(force_reference ? Isa::kScalar : isa),
      force_reference_(force_reference),
      ops_(VecOpsFor(isa_)),
      store_(std::make_unique<linear::PackedStore>(std::move(cache), huge_pages)),
      probes_(std::make_unique<linear::PrefillProbes>()) {}

CpuBackend::~CpuBackend() = default;

StatusOr<std::shared_ptr<const LinearOp>> CpuBackend::PrepareLinear(const LinearSpec& spec,
                                                                    ExecContext& context) const {
  return PrepareCpuLinear(spec, isa_, force_reference_, context, store_.get(), probes_.get());
}

std::string CpuBackend::PreparedKey(const LinearSpec& spec) const { return CpuLinearKey(spec, isa_, force_reference_); }

void CpuBackend::RmsNorm(ExecContext& context, const float* x, const float* weight, float eps, int64_t m, int64_t width,
                         float* y) const {
  ForRanges(context, m, width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) ops_.rms_norm(x + r * width, weight, eps, width, y + r * width);
  });
}

void CpuBackend::AddRmsNorm(ExecContext& context, float* x, const float* delta, const float* weight, float eps,
                            int64_t m, int64_t width, float* y) const {
  ForRanges(context, m, 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      ops_.add_rms_norm(x + r * width, delta + r * width, weight, eps, width, y + r * width);
    }
  });
}

void CpuBackend::RmsNormSlices(ExecContext& context, float* x, int64_t ldx, const float* weight, float eps, int64_t m,
                               int64_t slices, int64_t width) const {
  ForRanges(context, m, slices * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t s = 0; s < slices; ++s) {
        float* slice = x + r * ldx + s * width;
        ops_.rms_norm(slice, weight, eps, width, slice);
      }
    }
  });
}

void CpuBackend::Add(ExecContext& context, float* x, const float* delta, int64_t count) const {
  ForPieces(context, count, [&](int64_t begin, int64_t n) { ops_.add(x + begin, delta + begin, n); });
}

void CpuBackend::Scale(ExecContext& context, float* x, float factor, int64_t count) const {
  ForPieces(context, count, [&](int64_t begin, int64_t n) { ops_.scale(factor, n, x + begin); });
}

void CpuBackend::Softcap(ExecContext& context, float* x, float cap, int64_t count) const {
  ForPieces(context, count, [&](int64_t begin, int64_t n) { ops_.softcap(cap, n, x + begin); });
}

void CpuBackend::GatedActivation(ExecContext& context, Activation activation, const float* gate_up, int64_t m,
                                 int64_t inter, float* y) const {
  const auto row_op = activation == Activation::kSilu ? ops_.silu_mul : ops_.gelu_tanh_mul;
  constexpr int64_t kPiece = 512;  // of a row, so that one long row can be shared too
  const int64_t pieces = (inter + kPiece - 1) / kPiece;
  ForRanges(context, m * pieces, 4 * kPiece, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / pieces, first = i % pieces * kPiece;
      const float* gate = gate_up + row * 2 * inter + first;
      row_op(gate, gate + inter, std::min(kPiece, inter - first), y + row * inter + first);
    }
  });
}

void CpuBackend::RopeAndStoreKv(ExecContext& context, const AttentionSpec& spec, const RopeTable& rope, int layer,
                                const KvBatch& batch, float* qkv) const {
  CpuRopeAndStoreKv(ops_, context, spec, rope, layer, batch, qkv);
}

void CpuBackend::Attention(ExecContext& context, const AttentionSpec& spec, int layer, const KvBatch& batch,
                           const float* qkv, float* out) const {
  CpuAttention(ops_, context, spec, layer, batch, qkv, out);
}

StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuBackendOptions& options) {
  ASSIGN_OR_RETURN(const Isa isa, SelectIsa());
  return std::make_unique<CpuBackend>(isa, options.force_reference, options.packed_cache, options.huge_pages);
}

}  // namespace bitrate
