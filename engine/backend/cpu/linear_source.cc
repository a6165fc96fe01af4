#include "engine/backend/cpu/linear_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend/cpu/linear_op.h"
#include "engine/base/check.h"
#include "engine/format/reference_codec.h"

namespace bitrate::linear {
namespace {

class SourceLinear final : public LinearOp {
 public:
  SourceLinear(std::span<const WeightMatrix> parts, std::span<const float> bias, Choice choice)
      : parts_(parts.begin(), parts.end()),
        bias_(bias.begin(), bias.end()),
        kernels_(*choice.kernels),
        refusals_(std::move(choice.refusals)) {
    for (const WeightMatrix& part : parts_) n_ += part.n;
    refusals_.push_back(
        fmt::format("panels: {} has no panel layout that holds its values", parts_.front().format_name()));
  }

  int64_t n() const override { return n_; }
  int64_t k() const override { return parts_.front().k; }
  void Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const override;
  void GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const override;
  LinearInfo info() const override;

 private:
  // Rows [begin, end) of all parts to out [end - begin, K].
  void Decode(int64_t begin, int64_t end, float* out) const;
  void FillPanel(int64_t index, float* rows, float* panel) const;

  std::vector<WeightMatrix> parts_;
  std::vector<float> bias_;
  const LinearKernels& kernels_;
  std::vector<std::string> refusals_;
  int64_t n_ = 0;
};

void SourceLinear::Decode(int64_t begin, int64_t end, float* out) const {
  int64_t first = 0;
  for (const WeightMatrix& part : parts_) {
    const int64_t from = std::max(begin, first), to = std::min(end, first + part.n);
    if (from < to) DecodeRows(part, from - first, to - first, out + (from - begin) * part.k);
    first += part.n;
  }
}

// panel [K][64] by way of rows [64, K]; rows past N are zeros.
void SourceLinear::FillPanel(int64_t index, float* rows, float* panel) const {
  constexpr int64_t kTile = 16;  // of k: a line of each row, a kilobyte of each step of the panel
  const int64_t begin = index * kPanelRows, count = std::min<int64_t>(kPanelRows, n_ - begin), k = this->k();
  Decode(begin, begin + count, rows);
  if (count < kPanelRows) std::fill_n(panel, k * kPanelRows, 0.0f);
  for (int64_t from = 0; from < k; from += kTile) {
    const int64_t to = std::min(k, from + kTile);
    for (int64_t r = 0; r < count; ++r) {
      const float* row = rows + r * k;
      for (int64_t i = from; i < to; ++i) panel[i * kPanelRows + r] = row[i];
    }
  }
}

void SourceLinear::Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const {
  BITRATE_CHECK(m >= 1 && ldx >= k() && ldy >= n());
  const int64_t panel_floats = k() * kPanelRows;
  const auto workers = static_cast<int64_t>(context.parallel->num_workers());
  auto* scratch = reinterpret_cast<float*>(
      context.scratch->Reserve(static_cast<size_t>(2 * panel_floats * workers) * sizeof(float)));
  context.parallel->RunRanges((n_ + kPanelRows - 1) / kPanelRows, [&](int worker, int64_t begin, int64_t end) {
    alignas(64) float out[kChunkRows * kPanelRows];
    float* rows = scratch + worker * 2 * panel_floats;
    Panel panel;
    panel.codes = rows + panel_floats;
    panel.k = panel.group_size = k();
    for (int64_t p = begin; p < end; ++p) {
      FillPanel(p, rows, rows + panel_floats);
      for (int64_t row = 0; row < m; row += kChunkRows) {
        const int count = static_cast<int>(std::min<int64_t>(kChunkRows, m - row));
        kernels_.f32(panel, x + row * ldx, ldx, count, out);
        StoreRows(out, count, p, n_, bias_, y + row * ldy, ldy);
      }
    }
  });
}

void SourceLinear::GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const {
  for (int32_t id : ids) BITRATE_CHECK(id >= 0 && id < n_);
  ForRows(context, static_cast<int64_t>(ids.size()), k(), [&](int64_t row) {
    const int64_t id = ids[static_cast<size_t>(row)];
    Decode(id, id + 1, out + row * k());
  });
}

LinearInfo SourceLinear::info() const {
  LinearInfo info;
  info.kernel = info.prefill_kernel = fmt::format("{}-by-panel-w32a32/{}", parts_.front().format_name(), kernels_.isa);
  info.isa = kernels_.isa;
  for (const WeightMatrix& part : parts_) info.bytes += part.data.size();
  info.weight_bits = 8.0 * static_cast<double>(info.bytes) / (static_cast<double>(n_) * static_cast<double>(k()));
  info.bytes += bias_.size() * sizeof(float);
  info.refusals = refusals_;
  return info;
}

}  // namespace

StatusOr<std::shared_ptr<const LinearOp>> MakeSourceLinear(std::span<const WeightMatrix> parts,
                                                           std::span<const float> bias, Choice choice) {
  for (const WeightMatrix& part : parts) {
    if (part.data.data() == nullptr) return NotFound("linear {}: its packed form is its file", part.name);
  }
  return std::make_shared<const SourceLinear>(parts, bias, std::move(choice));
}

}  // namespace bitrate::linear
