#include "tests/bench/kernels_cliffs.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/bench/kernels_operators.h"

namespace bitrate::bench {
namespace {

constexpr double kTolerance = 1.05;
constexpr int64_t kLargestM = 64;

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

std::vector<int64_t> SmallMs() {
  std::vector<int64_t> ms;
  std::copy_if(std::begin(kBenchMs), std::end(kBenchMs), std::back_inserter(ms),
               [](int64_t m) { return m <= kLargestM; });
  return ms;
}

// Median seconds of each M.
std::vector<double> MeasureTimes(const LinearOp& op, ExecContext& context, const std::vector<int64_t>& ms, int rounds) {
  const std::vector<float> x = RandomRows(kLargestM);
  std::vector<float> y(static_cast<size_t>(kLargestM * op.n()));
  std::vector<std::vector<double>> seconds(ms.size());
  const int inner = op.info().bytes < (1u << 20) ? 16 : 1;  // a cached matrix takes microseconds
  for (int round = 0; round < rounds; ++round) {
    for (size_t step = 0; step < ms.size(); ++step) {
      const size_t i = round % 2 == 0 ? step : ms.size() - 1 - step;
      if (inner > 1) op.Run(context, x.data(), kBenchK, ms[i], y.data(), op.n());
      const double begin = ThreadSeconds();
      for (int r = 0; r < inner; ++r) op.Run(context, x.data(), kBenchK, ms[i], y.data(), op.n());
      seconds[i].push_back((ThreadSeconds() - begin) / inner);
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of_m : seconds) medians.push_back(Median(std::move(of_m)));
  return medians;
}

bool Report(const std::string& precision, bool dram, const std::vector<int64_t>& ms, const std::vector<double>& times,
            bool json) {
  double worst = 0;
  size_t small = 0, large = 1;
  for (size_t i = 0; i < ms.size(); ++i) {
    for (size_t j = i + 1; j < ms.size(); ++j) {
      if (times[i] / times[j] <= worst) continue;
      worst = times[i] / times[j];
      small = i;
      large = j;
    }
  }
  const bool holds = worst <= kTolerance;
  if (json) {
    std::vector<double> micros;
    for (double seconds : times) micros.push_back(seconds * 1e6);
    const nlohmann::ordered_json row = {{"kind", "cliff"},
                                        {"precision", precision},
                                        {"memory", dram ? "dram" : "l2"},
                                        {"m", ms},
                                        {"microseconds", micros},
                                        {"worst_ratio", worst},
                                        {"worst_m", ms[small]},
                                        {"worst_larger_m", ms[large]},
                                        {"holds", holds}};
    std::printf("%s\n", row.dump().c_str());
  } else {
    std::printf("%-15s %-5s worst time(%lld) / time(%lld) = %.3f %s\n", precision.c_str(), dram ? "dram" : "l2",
                static_cast<long long>(ms[small]), static_cast<long long>(ms[large]), worst, holds ? "" : "CLIFF");
  }
  std::fflush(stdout);
  return holds;
}

}  // namespace

int CheckCliffs(const char* filter, int rounds, bool json) {
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  OperatorCache cache;
  const std::vector<int64_t> ms = SmallMs();
  int broken = 0;
  for (const char* precision : kBenchPrecisions) {
    if (std::strstr(precision, filter) == nullptr) continue;
    for (bool dram : {false, true}) {
      const auto op = cache.Get(precision, dram, context);
      broken += Report(precision, dram, ms, MeasureTimes(*op, context, ms, rounds), json) ? 0 : 1;
    }
  }
  if (!json) std::printf("time(M) <= %.2f time(M') for M < M' <= 64: %d do not hold\n", kTolerance, broken);
  return broken;
}

}  // namespace bitrate::bench
