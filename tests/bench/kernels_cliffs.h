// Looks for cliffs: a batch of M rows may not take longer than a larger one.
#ifndef BITRATE_TESTS_BENCH_KERNELS_CLIFFS_H_
#define BITRATE_TESTS_BENCH_KERNELS_CLIFFS_H_

#include "tests/bench/machine_rates.h"

namespace bitrate::bench {

// For every precision of kBenchPrecisions whose name contains `filter`, memory and M <= 64: median thread seconds of
// `rounds` runs, where each round visits all M (up, then down, so that drift hits all alike). Prints whether
// time(M) <= 1.05 * time(M') holds for every M < M', and the worst pair; as JSON lines with `json`. Returns how many of
// the checks do not hold.
int CheckCliffs(const char* filter, int rounds, bool json);

}  // namespace bitrate::bench

#endif  // BITRATE_TESTS_BENCH_KERNELS_CLIFFS_H_
