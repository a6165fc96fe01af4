// Speed of the linear operators: GB/s of packed weights and GOP/s for each precision and M, against this run's own read
// bandwidth and peak. One worker by default, timed by thread CPU time, best iteration reported, so that other load on
// the machine disturbs little.
//   kernels_bench [--json] [google-benchmark flags, e.g. --benchmark_filter='int4-g64/dram/M:1$']
// "dram" streams a matrix of 96 MiB, "l2" walks one of about 192 KiB again and again.
#include <benchmark/benchmark.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/backend/cpu/linear.h"
#include "engine/base/half.h"
#include "engine/format/blocks.h"
#include "tests/bench/kernels_calibrate.h"

namespace bitrate::bench {
namespace {

constexpr int64_t kK = 4096;
constexpr int64_t kMs[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 32, 33, 64, 128, 256, 512};
constexpr const char* kPrecisions[] = {"fp32",       "bf16",          "fp16",         "int8",
                                       "int8-token", "int8-w8a16",    "int4",         "int4-g64",
                                       "int4-g128",  "int4-g64-asym", "int4-g64-min", "int4-g64-w4a16"};

struct Bench {
  std::string precision;
  bool dram = false;
  int64_t m = 1;
};

// Q4_0 source with random codes: small, decodes to sane values, and plain "int4" keeps its grid of 32.
WeightMatrix MakeMatrix(int64_t n) {
  auto data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(n * RowBytes(QuantFormatId::kQ4_0, kK)));
  std::mt19937 random(1);
  for (size_t at = 0; at < data->size(); at += sizeof(BlockQ4_0)) {
    BlockQ4_0 block;
    block.d = ToFp16(0.01f);
    for (uint8_t& code : block.qs) code = static_cast<uint8_t>(random());
    std::memcpy(data->data() + at, &block, sizeof(block));
  }
  return {"bench", QuantFormatId::kQ4_0, n, kK, *data, data};
}

int64_t RowsFor(const Bench& bench, double weight_bits) {
  const double bytes = bench.dram ? 96.0 * (1 << 20) : 192.0 * (1 << 10);
  const int64_t rows = static_cast<int64_t>(bytes / (static_cast<double>(kK) * weight_bits / 8));
  return rows < 64 ? 64 : rows / 64 * 64;
}

class OpCache {
 public:
  std::shared_ptr<const LinearOp> Get(const Bench& bench, ExecContext& context) {
    const std::string key = bench.precision + (bench.dram ? "/dram" : "/l2");
    if (key == key_) return op_;
    op_.reset();  // one large matrix at a time
    const StatusOr<Precision> precision = Precision::Parse(bench.precision);
    double bits = 0;
    for (int64_t rows : {int64_t{64}, int64_t{0}}) {
      const WeightMatrix matrix = MakeMatrix(rows != 0 ? rows : RowsFor(bench, bits));
      const LinearSpec spec{{&matrix, 1}, {}, *precision, false};
      op_ = *PrepareCpuLinear(spec, *SelectIsa(), false, context);
      bits = op_->info().weight_bits;
    }
    key_ = key;
    return op_;
  }

 private:
  std::string key_;
  std::shared_ptr<const LinearOp> op_;
};

void Run(benchmark::State& state, const Bench& bench, const Calibration& calibration, OpCache& cache) {
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  const auto op = cache.Get(bench, context);
  std::vector<float> x(static_cast<size_t>(bench.m * kK)), y(static_cast<size_t>(bench.m * op->n()));
  std::mt19937 random(2);
  for (float& value : x) value = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  double best = 1e9;
  for (auto _ : state) {
    const double begin = ThreadSeconds();
    op->Run(context, x.data(), kK, bench.m, y.data(), op->n());
    const double seconds = ThreadSeconds() - begin;
    best = seconds < best ? seconds : best;
    state.SetIterationTime(seconds);
  }
  const LinearInfo info = op->info();
  const bool int8_math = info.kernel.find("a8") != std::string::npos;
  const double bytes_rate = static_cast<double>(info.bytes) / best;
  const double ops_rate = 2.0 * static_cast<double>(bench.m * op->n() * kK) / best;
  const double peak = int8_math ? calibration.int8_peak : calibration.float_peak;
  state.counters["GB/s"] = bytes_rate * 1e-9;
  state.counters["GOP/s"] = ops_rate * 1e-9;
  state.counters["of_read"] = bytes_rate / calibration.dram_read;
  state.counters["of_peak"] = peak > 0 ? ops_rate / peak : 0;
  state.SetLabel(info.kernel);
}

int Main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  char json[] = "--benchmark_format=json";
  for (char*& argument : arguments) {
    if (std::strcmp(argument, "--json") == 0) argument = json;
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  const Calibration calibration = Calibrate();
  benchmark::AddCustomContext("read_GB/s", fmt::format("{:.1f}", calibration.dram_read * 1e-9));
  benchmark::AddCustomContext("float_peak_GOP/s", fmt::format("{:.1f}", calibration.float_peak * 1e-9));
  benchmark::AddCustomContext("int8_peak_GOP/s", fmt::format("{:.1f}", calibration.int8_peak * 1e-9));
  OpCache cache;
  for (const char* precision : kPrecisions) {
    for (bool dram : {false, true}) {
      for (int64_t m : kMs) {
        const Bench bench{precision, dram, m};
        const std::string name = fmt::format("{}/{}/M:{}", precision, dram ? "dram" : "l2", m);
        const auto run = [bench, &calibration, &cache](benchmark::State& state) {
          Run(state, bench, calibration, cache);
        };
        benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->MinTime(0.05);
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace bitrate::bench

int main(int argc, char** argv) { return bitrate::bench::Main(argc, argv); }
