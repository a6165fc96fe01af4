// The mixture-of-experts operators of the CPU backend: routing, and rows on their way to experts and back.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/base/check.h"

namespace bitrate {
namespace {

// x [n] becomes its softmax.
void Softmax(const VecOps& ops, int64_t n, float* x) {
  const float top = *std::max_element(x, x + n);
  for (int64_t i = 0; i < n; ++i) x[i] -= top;
  ops.exp(x, n, x);
  const float sum = std::accumulate(x, x + n, 0.0f);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

// ids [k]: of the k largest of p [n], largest first; of equal ones the lower id. NaN is larger than nothing.
void LargestOf(const float* p, int64_t n, int64_t k, int32_t* ids) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (found == k && !(p[i] > p[ids[k - 1]])) continue;
    int64_t at = found < k ? found++ : k - 1;
    for (; at > 0 && p[i] > p[ids[at - 1]]; --at) ids[at] = ids[at - 1];
    ids[at] = static_cast<int32_t>(i);
  }
}

}  // namespace

void CpuBackend::RouteExperts(ExecContext& context, float* logits, int64_t m, int64_t experts, int64_t k,
                              bool renormalize, int32_t* ids, float* weights) const {
  BITRATE_CHECK(k >= 1 && k <= experts);
  ForRanges(context, m, 4 * experts, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* p = logits + r * experts;
      int32_t* chosen = ids + r * k;
      Softmax(ops_, experts, p);
      LargestOf(p, experts, k, chosen);
      std::sort(chosen, chosen + k);
      float sum = 0;
      for (int64_t j = 0; j < k; ++j) sum += weights[r * k + j] = p[chosen[j]];
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
