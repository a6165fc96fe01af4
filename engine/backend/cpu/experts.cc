// The mixture-of-experts operators of the CPU backend: routing, and rows on their way to experts and back.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/base/check.h"

namespace bitrate {
namespace {

// probabilities [experts] = softmax of logits.
void Softmax(const VecOps& ops, const float* logits, int64_t experts, float* probabilities) {
  const float top = *std::max_element(logits, logits + experts);
  for (int64_t e = 0; e < experts; ++e) probabilities[e] = logits[e] - top;
  ops.exp(probabilities, experts, probabilities);
  const float sum = std::accumulate(probabilities, probabilities + experts, 0.0f);
  for (int64_t e = 0; e < experts; ++e) probabilities[e] /= sum;
}

}  // namespace

void CpuBackend::RouteExperts(ExecContext& context, const float* logits, int64_t m, int64_t experts, int64_t k,
                              bool renormalize, int32_t* ids, float* weights) const {
  BITRATE_CHECK(k >= 1 && k <= experts);
  ForRanges(context, m, 4 * experts, [&](int64_t begin, int64_t end) {
    std::vector<float> probabilities(static_cast<size_t>(experts));
    std::vector<int32_t> order(static_cast<size_t>(experts));
    for (int64_t r = begin; r < end; ++r) {
      Softmax(ops_, logits + r * experts, experts, probabilities.data());
      std::iota(order.begin(), order.end(), 0);
      // NaN compares as equal to everything, which is no order; such a row takes the first experts and stays NaN.
      const bool finite = probabilities[0] == probabilities[0];
      const auto larger = [&](int32_t a, int32_t b) {
        const float pa = probabilities[static_cast<size_t>(a)], pb = probabilities[static_cast<size_t>(b)];
        return pa != pb ? pa > pb : a < b;
      };
      if (finite) std::partial_sort(order.begin(), order.begin() + k, order.end(), larger);
      std::sort(order.begin(), order.begin() + k);
      float sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        ids[r * k + j] = order[static_cast<size_t>(j)];
        weights[r * k + j] = probabilities[static_cast<size_t>(ids[r * k + j])];
        sum += weights[r * k + j];
      }
      for (int64_t j = 0; renormalize && j < k; ++j) weights[r * k + j] /= sum;
    }
  });
}

void CpuBackend::PickRows(ExecContext& context, const float* x, std::span<const int32_t> rows, int64_t width,
                          float* out) const {
  ForRanges(context, static_cast<int64_t>(rows.size()), width, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(out + i * width, x + rows[static_cast<size_t>(i)] * width,
                  static_cast<size_t>(width) * sizeof(float));
    }
  });
}

void CpuBackend::CombineRows(ExecContext& context, const float* x, const int32_t* slots, const float* weights,
                             int64_t m, int64_t k, int64_t width, float* y) const {
  ForRanges(context, m, k * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = y + r * width;
      for (int64_t j = 0; j < k; ++j) {
        const float* in = x + slots[r * k + j] * width;
        const float weight = weights[r * k + j];
        if (j == 0) {
          for (int64_t i = 0; i < width; ++i) out[i] = weight * in[i];
        } else {
          for (int64_t i = 0; i < width; ++i) out[i] += weight * in[i];
        }
      }
    }
  });
}

}  // namespace bitrate
