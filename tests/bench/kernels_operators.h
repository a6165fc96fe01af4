// Linear operators for kernel benchmarks: one matrix of random weights a precision, streamed from memory or resident in
// the L2 cache.
#ifndef BITRATE_TESTS_BENCH_KERNELS_OPERATORS_H_
#define BITRATE_TESTS_BENCH_KERNELS_OPERATORS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {

inline constexpr int64_t kBenchK = 4096;
inline constexpr int64_t kBenchMs[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 32, 33, 64, 128, 256, 512};
inline constexpr const char* kBenchPrecisions[] = {"fp32",       "bf16",          "fp16",         "int8",
                                                   "int8-token", "int8-w8a16",    "int4",         "int4-g64",
                                                   "int4-g128",  "int4-g64-asym", "int4-g64-min", "int4-g64-w4a16"};

// Keeps the last operator made: one large matrix at a time.
class OperatorCache {
 public:
  // dram: 96 MiB of weights; otherwise about 192 KiB.
  std::shared_ptr<const LinearOp> Get(const std::string& precision, bool dram, ExecContext& context);

 private:
  std::string key_;
  std::shared_ptr<const LinearOp> op_;
};

// [rows * kBenchK] in -1 .. 1.
std::vector<float> RandomRows(int64_t rows);

// The peak that bounds `kernel` (LinearInfo's name).
double PeakFor(const std::string& kernel, const MachineRates& rates);

}  // namespace bitrate::bench

#endif  // BITRATE_TESTS_BENCH_KERNELS_OPERATORS_H_
