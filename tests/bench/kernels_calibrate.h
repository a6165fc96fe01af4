// What this machine can do in this run: the yardsticks that kernel speeds are printed against.
#ifndef BITRATE_TESTS_BENCH_KERNELS_CALIBRATE_H_
#define BITRATE_TESTS_BENCH_KERNELS_CALIBRATE_H_

#include <cstdint>

namespace bitrate::bench {

// CPU seconds of the calling thread: other load on the machine does not count.
double ThreadSeconds();

struct Calibration {
  double dram_read = 0;   // bytes/s of one thread reading 256 MiB
  double float_peak = 0;  // f32 multiply-adds x 2 /s of one thread
  double int8_peak = 0;   // maddubs (or dpbusd) multiply-adds x 2 /s of one thread
};
Calibration Calibrate();

// Loops of `iterations` x 8 independent vector operations; return operations (multiplies + adds) done. ISA-flagged
// files.
struct PeakLoops {
  double (*float_ops)(int64_t iterations);
  double (*int8_ops)(int64_t iterations);
};
PeakLoops Avx2PeakLoops();
PeakLoops Avx512PeakLoops();

}  // namespace bitrate::bench

#endif  // BITRATE_TESTS_BENCH_KERNELS_CALIBRATE_H_
