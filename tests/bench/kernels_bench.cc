// Speed of the linear operators: GB/s of packed weights and GOP/s for each precision and M, against this run's own read
// bandwidth and peak. One worker, timed by thread CPU time, best and median iteration reported, so that other load on
// the machine disturbs little.
//   kernels_bench [--json] [google-benchmark flags, e.g. --benchmark_filter='int4-g64/dram/M:1/']
//   kernels_bench --cliffs[=ROUNDS] [--precision=PART] [--json]     time(M) <= 1.05 time(M') for M < M' <= 64
// "dram" streams a matrix of 96 MiB, "l2" walks one of about 192 KiB again and again.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/kernels_cliffs.h"
#include "tests/bench/kernels_operators.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

constexpr int kCliffRounds = 9;

struct Case {
  std::string precision;
  bool dram = false;
  int64_t m = 1;
};

void Run(benchmark::State& state, const Case& bench, const MachineRates& rates, OperatorCache& cache) {
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  const auto op = cache.Get(bench.precision, bench.dram, context);
  const std::vector<float> x = RandomRows(bench.m);
  std::vector<float> y(static_cast<size_t>(bench.m * op->n()));
  std::vector<double> times;
  for (auto _ : state) {
    const double begin = ThreadSeconds();
    op->Run(context, x.data(), kBenchK, bench.m, y.data(), op->n());
    times.push_back(ThreadSeconds() - begin);
    state.SetIterationTime(times.back());
  }
  std::sort(times.begin(), times.end());
  const double best = times.front();
  const LinearInfo info = op->info();
  const double bytes_rate = static_cast<double>(info.bytes) / best;
  const double ops_rate = 2.0 * static_cast<double>(bench.m * op->n() * kBenchK) / best;
  const double peak = PeakFor(info.kernel, rates);
  state.counters["GB/s"] = bytes_rate * 1e-9;
  state.counters["GOP/s"] = ops_rate * 1e-9;
  state.counters["of_read"] = bytes_rate / rates.dram_read;
  state.counters["of_peak"] = peak > 0 ? ops_rate / peak : 0;
  state.counters["median_us"] = times[times.size() / 2] * 1e6;
  state.SetLabel(info.kernel);
}

// What this program takes beside google-benchmark's flags; they are removed from `arguments`.
struct Options {
  bool json = false;
  int cliff_rounds = 0;
  std::string precision;
};

Options TakeOptions(std::vector<char*>& arguments) {
  Options options;
  const auto ours = [&options](const char* argument) {
    const std::string text = argument;
    if (text == "--json") {
      options.json = true;
    } else if (text == "--cliffs") {
      options.cliff_rounds = kCliffRounds;
    } else if (text.rfind("--cliffs=", 0) == 0) {
      options.cliff_rounds = std::max(1, std::atoi(argument + std::strlen("--cliffs=")));
    } else if (text.rfind("--precision=", 0) == 0) {
      options.precision = text.substr(std::strlen("--precision="));
    } else {
      return false;
    }
    return true;
  };
  arguments.erase(std::remove_if(arguments.begin() + 1, arguments.end(), ours), arguments.end());
  return options;
}

void Register(const Options& options, const MachineRates& rates, OperatorCache& cache) {
  for (const char* precision : kBenchPrecisions) {
    if (std::strstr(precision, options.precision.c_str()) == nullptr) continue;
    for (bool dram : {false, true}) {
      for (int64_t m : kBenchMs) {
        const Case bench{precision, dram, m};
        const std::string name = fmt::format("{}/{}/M:{}", precision, dram ? "dram" : "l2", m);
        const auto run = [bench, &rates, &cache](benchmark::State& state) { Run(state, bench, rates, cache); };
        benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->MinTime(0.05);
      }
    }
  }
}

int Main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const Options options = TakeOptions(arguments);
  if (options.cliff_rounds > 0) {
    CheckCliffs(options.precision.c_str(), options.cliff_rounds, options.json);
    return 0;
  }
  char json[] = "--benchmark_format=json";
  if (options.json) arguments.push_back(json);
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  const MachineRates rates = MeasureThreadRates();
  benchmark::AddCustomContext("read_GB/s", fmt::format("{:.1f}", rates.dram_read * 1e-9));
  benchmark::AddCustomContext("float_peak_GOP/s", fmt::format("{:.1f}", rates.float_peak * 1e-9));
  benchmark::AddCustomContext("bf16_peak_GOP/s", fmt::format("{:.1f}", rates.bf16_peak * 1e-9));
  benchmark::AddCustomContext("int8_peak_GOP/s", fmt::format("{:.1f}", rates.int8_peak * 1e-9));
  OperatorCache cache;
  Register(options, rates, cache);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace bitrate::bench

int main(int argc, char** argv) { return bitrate::bench::Main(argc, argv); }
