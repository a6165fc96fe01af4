#include "tests/bench/kernels_calibrate.h"

#include <time.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/base/cpu_features.h"

namespace bitrate::bench {
namespace {

constexpr int kRepeats = 7;

template <typename Fn>
double BestRate(double work, Fn&& fn) {
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const double begin = ThreadSeconds();
    fn();
    best = std::max(best, work / (ThreadSeconds() - begin));
  }
  return best;
}

double MeasureRead() {
  AlignedBuffer<uint64_t> buffer((256u << 20) / sizeof(uint64_t));
  for (size_t i = 0; i < buffer.size(); ++i) buffer[i] = i;
  volatile uint64_t sink = 0;
  return BestRate(static_cast<double>(buffer.bytes()), [&] {
    uint64_t sums[16] = {};
    for (size_t i = 0; i < buffer.size(); i += 16) {
      for (size_t j = 0; j < 16; ++j) sums[j] += buffer[i + j];
    }
    for (uint64_t sum : sums) sink = sink + sum;
  });
}

double MeasureOps(double (*ops)(int64_t iterations)) {
  constexpr int64_t kIterations = 4'000'000;
  return BestRate(ops(0) + ops(kIterations), [&] { ops(kIterations); });
}

}  // namespace

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Calibration Calibrate() {
  Calibration result;
  result.dram_read = MeasureRead();
  const Isa isa = DetectIsa();
  if (isa == Isa::kScalar) return result;
  const PeakLoops loops = isa == Isa::kAvx512 ? Avx512PeakLoops() : Avx2PeakLoops();
  result.float_peak = MeasureOps(loops.float_ops);
  result.int8_peak = MeasureOps(loops.int8_ops);
  return result;
}

}  // namespace bitrate::bench
