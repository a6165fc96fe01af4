// Low-rank updates of the CPU backend. A worker takes whole rows and does both halves of each, whatever operators they
// belong to: one start of the workers for a mixed batch, no gathering, and nothing of a row depends on another.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/base/check.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

constexpr int64_t kMaxParts = 3;

class CpuLowRank final : public LowRankOp {
 public:
  CpuLowRank(std::span<const LowRankPart> parts, int64_t k) : k_(k) {
    BITRATE_CHECK(!parts.empty() && static_cast<int64_t>(parts.size()) <= kMaxParts);
    for (const LowRankPart& part : parts) AddPart(part);
  }

  int64_t k() const override { return k_; }
  int64_t n() const override { return n_; }
  uint64_t bytes() const override { return a_.bytes() + b_.bytes(); }
  int64_t work() const { return work_; }

  // x [K], y [n].
  void Apply(const VecOps& ops, const float* x, float* y) const {
    alignas(64) float factors[limits::kMaxAdapterRank + 1];
    for (const Part& part : parts_) {
      ops.low_rank_down(a_.data() + part.a, x, part.rank, k_, part.scale, factors);
      factors[part.rank] = part.scale;
      ops.low_rank_up(b_.data() + part.b, factors, part.rank + part.has_bias, part.n, y + part.column);
    }
  }

 private:
  struct Part {
    size_t a = 0, b = 0;  // where they begin
    int64_t rank = 0, n = 0, column = 0;
    int has_bias = 0;
    float scale = 0;
  };

  void AddPart(const LowRankPart& in);

  int64_t k_;
  int64_t n_ = 0;
  int64_t work_ = 0;  // elements read for a row
  std::vector<Part> parts_;
  AlignedBuffer<float> a_;  // of each part [rank, K]
  AlignedBuffer<float> b_;  // of each part [rank, N], a last row for the bias
};

// Buffers grow part by part; there are at most three.
AlignedBuffer<float> Grown(const AlignedBuffer<float>& old, size_t more) {
  AlignedBuffer<float> grown(old.size() + more);
  std::copy_n(old.data(), old.size(), grown.data());
  return grown;
}

void CpuLowRank::AddPart(const LowRankPart& in) {
  BITRATE_CHECK(in.rank >= 1 && in.rank <= limits::kMaxAdapterRank && in.n >= 1 && in.column >= 0);
  const auto rank = static_cast<size_t>(in.rank), n = static_cast<size_t>(in.n);
  BITRATE_CHECK(in.a.size() == rank * static_cast<size_t>(k_) && in.b.size() == n * rank);
  BITRATE_CHECK(in.bias.empty() || in.bias.size() == n);
  Part part;
  part.a = a_.size();
  part.b = b_.size();
  part.rank = in.rank;
  part.n = in.n;
  part.column = in.column;
  part.has_bias = in.bias.empty() ? 0 : 1;
  part.scale = in.scale;
  a_ = Grown(a_, in.a.size());
  b_ = Grown(b_, in.b.size() + in.bias.size());
  std::copy(in.a.begin(), in.a.end(), a_.data() + part.a);
  float* b = b_.data() + part.b;
  for (size_t row = 0; row < n; ++row) {
    for (size_t r = 0; r < rank; ++r) b[r * n + row] = in.b[row * rank + r];
  }
  std::copy(in.bias.begin(), in.bias.end(), b + rank * n);
  parts_.push_back(part);
  n_ = std::max(n_, in.column + in.n);
  work_ += in.rank * (k_ + in.n);
}

}  // namespace

std::shared_ptr<const LowRankOp> CpuBackend::PrepareLowRank(std::span<const LowRankPart> parts, int64_t k) const {
  return std::make_shared<const CpuLowRank>(parts, k);
}

void CpuBackend::AddLowRank(ExecContext& context, std::span<const LowRankRows> groups, const float* x, int64_t ldx,
                            float* y, int64_t ldy) const {
  int64_t num_rows = 0, work = 0;
  for (const LowRankRows& group : groups) {
    BITRATE_CHECK(group.op != nullptr && group.op->k() <= ldx && group.op->n() <= ldy);
    const auto rows = static_cast<int64_t>(group.rows.size());
    num_rows += rows;
    work += rows * static_cast<const CpuLowRank*>(group.op)->work();
  }
  if (num_rows == 0) return;
  ForRanges(context, num_rows, std::max<int64_t>(work / num_rows / 8, 1), [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // of the group, among all rows
    for (const LowRankRows& group : groups) {
      const auto rows = static_cast<int64_t>(group.rows.size());
      const auto& op = *static_cast<const CpuLowRank*>(group.op);
      for (int64_t i = std::max(begin, first); i < std::min(end, first + rows); ++i) {
        const int64_t row = group.rows[static_cast<size_t>(i - first)];
        op.Apply(ops_, x + row * ldx, y + row * ldy);
      }
      first += rows;
    }
  });
}

}  // namespace bitrate
