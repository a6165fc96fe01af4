#include "engine/backend/cpu/onednn_linear.h"

#include <fmt/core.h>

namespace bitrate::linear {
namespace {

constexpr int64_t kMinRows = PrefillGemm::kRows[std::size(PrefillGemm::kRows) - 1];

int64_t RoundUp64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

PrefillLinear::Plan PrefillLinear::PlanScratch(int64_t rows, int workers) const {
  Plan plan;
  plan.scales = RoundUp64(rows * gemm_->RowBytes());
  plan.failed = plan.scales + RoundUp64(rows * 4);
  plan.workers = plan.failed + RoundUp64(workers);
  plan.worker_bytes = RoundUp64(gemm_->ScratchBytes());
  plan.total = plan.workers + plan.worker_bytes * workers;
  return plan;
}

bool PrefillLinear::RunPanel(int64_t panel, const std::byte* source, const float* scales, int64_t rows,
                             std::byte* scratch, float* y, int64_t ldy) const {
  alignas(64) float out[PrefillGemm::kRows[0] * kPanelRows];
  gemm_->BeginPanel(panel, scratch);
  int64_t row = 0;
  for (int64_t bucket : PrefillGemm::kRows) {
    for (; rows - row >= bucket; row += bucket) {
      const std::byte* chunk = source + row * gemm_->RowBytes();
      if (!gemm_->RunPanel(panel, chunk, scales + row, bucket, scratch, out)) return false;
      StoreRows(out, bucket, panel, n(), own_->bias(), y + row * ldy, ldy);
    }
  }
  return true;
}

bool PrefillLinear::RunGemm(ExecContext& context, const float* x, int64_t ldx, int64_t rows, float* y,
                            int64_t ldy) const {
  const int workers = context.parallel->num_workers();
  const Plan plan = PlanScratch(rows, workers);
  std::byte* source = context.scratch->Reserve(static_cast<size_t>(plan.total));
  float* scales = reinterpret_cast<float*>(source + plan.scales);
  std::byte* failed = source + plan.failed;
  for (int worker = 0; worker < workers; ++worker) failed[worker] = std::byte{0};
  ForRows(context, rows, k(),
          [&](int64_t row) { gemm_->FillRow(x + row * ldx, source + row * gemm_->RowBytes(), scales + row); });
  context.parallel->RunRanges(own_->weights().num_panels(), [&](int worker, int64_t begin, int64_t end) {
    std::byte* scratch = source + plan.workers + plan.worker_bytes * worker;
    for (int64_t p = begin; p < end; ++p) {
      if (!RunPanel(p, source, scales, rows, scratch, y, ldy)) failed[worker] = std::byte{1};
    }
  });
  for (int worker = 0; worker < workers; ++worker) {
    if (failed[worker] != std::byte{0}) return false;
  }
  return true;
}

void PrefillLinear::Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const {
  int64_t done = m / kMinRows * kMinRows;
  if (done > 0 && !RunGemm(context, x, ldx, done, y, ldy)) done = 0;
  if (done < m) own_->Run(context, x + done * ldx, ldx, m - done, y + done * ldy, ldy);
}

LinearInfo PrefillLinear::info() const {
  LinearInfo info = own_->info();
  info.prefill_kernel = fmt::format("{}/{}", gemm_->name(), info.isa);
  return info;
}

}  // namespace bitrate::linear
