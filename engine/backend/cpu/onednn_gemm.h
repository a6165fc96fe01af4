// oneDNN's matmul for many rows of x on the panels that our own kernels read, one panel of 64 outputs a call, so that
// each pool worker runs it on its own slice with a dense destination (a strided one silently falls to the reference
// implementation, thousands of times slower).
//
// It is used only where it cannot be told from the own kernels: when the first operator of a format and K is prepared,
// the results of both are compared to the bit for every number of rows in use, and any difference is a refusal (DESIGN
// promise 2).
//
// Thread rule: immutable; RunPanel from any number of threads. Errors: FAILED_PRECONDITION with the reason why this
// CPU, format, shape or build cannot use it. Nothing throws.
// Source: oneDNN v3.2.0 measured on Zen4 (DESIGN section 6): reduction order, implementations, formats that exist.
#ifndef BITRATE_ENGINE_BACKEND_CPU_ONEDNN_GEMM_H_
#define BITRATE_ENGINE_BACKEND_CPU_ONEDNN_GEMM_H_

#include <absl/functional/function_ref.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/linear_pack.h"
#include "engine/base/cpu_features.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"

namespace bitrate::linear {

class PrefillGemm {
 public:
  // Rows a call computes; M is cut into these, the rest (fewer than the last) is for the own kernels.
  static constexpr int64_t kRows[] = {128, 64, 32};

  virtual ~PrefillGemm() = default;
  virtual std::string name() const = 0;  // "onednn-bf16"
  // A row of x [K] in the form that RunPanel reads: RowBytes() bytes at `source`, and its scale if the form has one.
  virtual int64_t RowBytes() const = 0;
  virtual void FillRow(const float* x, std::byte* source, float* row_scale) const = 0;
  virtual int64_t ScratchBytes() const = 0;  // for each worker
  // Readies a worker's scratch for calls on `panel`.
  virtual void BeginPanel(int64_t panel, std::byte* scratch) const = 0;
  // out [rows, 64] = source [rows, K] * panel^T, rows one of kRows. False when oneDNN failed: the own kernels give the
  // same bits.
  virtual bool RunPanel(int64_t panel, const void* source, const float* row_scale, int64_t rows, std::byte* scratch,
                        float* out) const = 0;
};

// The results of comparing oneDNN with the own kernels, each found once: the order of a sum depends on format, K and
// machine, not on the weights. Thread-safe; two threads may both compare.
class PrefillProbes {
 public:
  // `key` names format, kernels and K. A reason to refuse, or none.
  std::optional<std::string> Get(const std::string& key, absl::FunctionRef<std::optional<std::string>()> probe)
      EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (const auto it = results_.find(key); it != results_.end()) return it->second;
    }
    std::optional<std::string> reason = probe();
    MutexLock lock(&mutex_);
    return results_.emplace(key, std::move(reason)).first->second;
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::optional<std::string>> results_ GUARDED_BY(mutex_);
};

// `attempt` skips the test of the ISA (for tests of the refusals behind it). Without `probes` it always compares.
StatusOr<std::shared_ptr<const PrefillGemm>> MakeOnednnGemm(std::shared_ptr<const PackedWeights> weights,
                                                            const LinearKernels& kernels, Isa isa, bool attempt = false,
                                                            PrefillProbes* probes = nullptr);

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_ONEDNN_GEMM_H_
