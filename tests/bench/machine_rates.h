// What this machine can do in this run: the yardsticks that speeds are printed against.
#ifndef BITRATE_TESTS_BENCH_MACHINE_RATES_H_
#define BITRATE_TESTS_BENCH_MACHINE_RATES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/base/parallel.h"

namespace bitrate::bench {

// CPU seconds of the calling thread: other load on the machine does not count.
double ThreadSeconds();
double WallSeconds();

// Operations are multiplies + adds; bytes and operations a second, of all workers together. 0 where no loop exists.
struct MachineRates {
  double dram_read = 0;   // bytes/s of reading 256 MiB in all, each worker its own range; the best of several reads
  double float_peak = 0;  // f32 fma
  double bf16_peak = 0;   // bf16 dot products; float_peak where the CPU has none (our bf16 kernel runs f32 math there)
  double int8_peak = 0;   // maddubs or dpbusd
};
// One worker, by thread CPU time: for kernels timed the same way.
MachineRates MeasureThreadRates();
// All workers at once, by wall time: for whole models.
MachineRates MeasureTeamRates(Parallel& parallel);

// Reads every byte of `planes` in their order, each worker the parts that an operator would give it, in one parallel
// run: the least that a decode step has to do. Returns wall seconds.
double ReadPlanes(Parallel& parallel, std::span<const PackedPlane> planes);

// What one instruction set can do; ISA-flagged files. Null where the instruction does not exist.
struct PeakLoops {
  // Reads all of `bytes` and returns a sum that depends on them. Whole vectors only; fetches a few lines ahead, as the
  // kernels do: without that, reading stops at every page.
  uint64_t (*read)(std::span<const std::byte> bytes);
  // Loops of `iterations` x 8 or 10 independent vector operations; return operations done.
  double (*float_ops)(int64_t iterations);
  double (*bf16_ops)(int64_t iterations);
  double (*int8_ops)(int64_t iterations);
};
PeakLoops Avx2PeakLoops();
PeakLoops Avx512PeakLoops();

}  // namespace bitrate::bench

#endif  // BITRATE_TESTS_BENCH_MACHINE_RATES_H_
