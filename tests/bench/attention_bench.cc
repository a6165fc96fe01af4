// Speed of attention alone: decode of one long sequence and prefill of one prompt, per KV type, group and context,
// through the ISA's own operators as an instance runs them, against this run's read bandwidth and f32 peak.
//   attention_bench [--json] [google-benchmark flags, e.g. --benchmark_filter='decode/.*/group:3/ctx:2048$']
// decode: GB/s of K and V bytes as stored, over layers enough to hold 64 MiB, so that they come from DRAM ("dram"), or
// over one layer again and again ("l2"). prefill: GFLOP/s of the multiply-adds that causality leaves, 30 layers.
// One worker unless BITRATE_BENCH_THREADS says otherwise; best iteration; thread CPU time for one worker, wall time
// for more.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/backend/cpu/rope.h"
#include "engine/base/compute_pool.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

constexpr int kKvHeads = 3, kHeadDim = 64, kBlockTokens = 16;

struct Bench {
  DType dtype;
  bool prefill = false, dram = false;
  int group = 3, context = 512;
};

// One sequence whose cache is filled by RopeAndStoreKv with random keys and values, the same in every layer.
struct Setup {
  explicit Setup(const Bench& bench, ExecContext& context) {
    spec.num_heads = kKvHeads * bench.group;
    spec.num_kv_heads = kKvHeads;
    spec.head_dim = kHeadDim;
    spec.scale = 0.125f;
    geometry.dtype = bench.dtype;
    geometry.num_kv_heads = kKvHeads;
    geometry.head_dim = kHeadDim;
    geometry.block_tokens = kBlockTokens;
    geometry.num_layers = 1;
    const int blocks = bench.context / kBlockTokens + 1;
    const size_t layer_bytes = geometry.BlockBytes() * static_cast<size_t>(blocks);
    geometry.num_layers = bench.dram ? static_cast<int>((size_t{64} << 20) / layer_bytes) + 1 : 1;
    kv = AlignedBuffer<std::byte>(geometry.BlockBytes() * static_cast<size_t>(blocks));
    for (int b = 0; b < blocks; ++b) table.push_back(b);
    width = kHeadDim * (spec.num_heads + 2 * kKvHeads);
    qkv.resize(static_cast<size_t>(bench.context * width));
    out.resize(static_cast<size_t>(bench.context * spec.num_heads * kHeadDim));
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& x : qkv) x = normal(random);
    const std::vector<float> cos(static_cast<size_t>(bench.context * kHeadDim / 2), 1.0f), sin(cos.size(), 0.0f);
    for (int layer = 0; layer < geometry.num_layers; ++layer) {
      CpuRopeAndStoreKv(ops, context, spec, {cos, sin, kHeadDim}, layer, Batch(0, bench.context), qkv.data());
    }
    first_row = bench.prefill ? 0 : bench.context - 1;
    batch = Batch(first_row, bench.context);
  }

  KvBatch Batch(int begin, int end) {
    starts = {0, end - begin};
    positions.clear();
    for (int p = begin; p < end; ++p) positions.push_back(p);
    return {kv.data(), &geometry, starts, positions, table, static_cast<int>(table.size())};
  }
  void Run(ExecContext& context) {
    for (int layer = 0; layer < geometry.num_layers; ++layer) {
      CpuAttention(ops, context, spec, layer, batch, qkv.data() + int64_t{first_row} * width, out.data());
    }
  }

  const VecOps& ops = VecOpsFor(*SelectIsa());
  AttentionSpec spec;
  KvGeometry geometry;
  AlignedBuffer<std::byte> kv;
  std::vector<int32_t> table, starts, positions;
  std::vector<float> qkv, out;
  KvBatch batch;
  int64_t width = 0;
  int first_row = 0;
};

void Run(benchmark::State& state, const Bench& bench, const MachineRates& calibration, Parallel& parallel) {
  ScratchArena scratch;
  ExecContext context{&parallel, &scratch};
  Setup setup(bench, context);
  const bool alone = parallel.num_workers() == 1;
  setup.Run(context);
  double best = 1e9;
  for (auto _ : state) {
    const double begin = alone ? ThreadSeconds() : WallSeconds();
    setup.Run(context);
    const double seconds = (alone ? ThreadSeconds() : WallSeconds()) - begin;
    best = seconds < best ? seconds : best;
    state.SetIterationTime(seconds);
  }
  const double layers = setup.geometry.num_layers, tokens = bench.context;
  const double token_bytes = static_cast<double>(setup.geometry.BlockBytes()) / kBlockTokens;  // all layers
  const double keys = bench.prefill ? tokens * (tokens + 1) / 2 : tokens;
  const double flops = 4.0 * keys * setup.spec.num_heads * kHeadDim * layers;
  state.counters["us_layer"] = best / layers * 1e6;
  state.counters["KV_GB/s"] = token_bytes * tokens / best * 1e-9;
  state.counters["of_read"] = token_bytes * tokens / best / calibration.dram_read;
  state.counters["GFLOP/s"] = flops / best * 1e-9;
  if (calibration.float_peak > 0) {
    state.counters["of_peak"] = flops / best / (calibration.float_peak * parallel.num_workers());
  }
}

void Register(const Bench& bench, const MachineRates& calibration, Parallel& parallel) {
  const std::string name = fmt::format("{}/{}/group:{}/ctx:{}",
                                       bench.prefill ? "prefill"
                                       : bench.dram  ? "decode-dram"
                                                     : "decode-l2",
                                       DTypeName(bench.dtype), bench.group, bench.context);
  const auto run = [bench, &calibration, &parallel](benchmark::State& state) {
    Run(state, bench, calibration, parallel);
  };
  benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->MinTime(0.1)->Unit(benchmark::kMicrosecond);
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
  const char* threads = std::getenv("BITRATE_BENCH_THREADS");
  ComputePool pool({.num_threads = threads != nullptr ? std::max(1, std::atoi(threads)) : 1});
  ComputePool::Lease lease = pool.Acquire(pool.Register("bench"));
  const MachineRates calibration = MeasureThreadRates();
  benchmark::AddCustomContext("read_GB/s", fmt::format("{:.1f}", calibration.dram_read * 1e-9));
  benchmark::AddCustomContext("float_peak_GFLOP/s", fmt::format("{:.1f}", calibration.float_peak * 1e-9));
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    for (const int group : {1, 3, 4}) {
      for (const int context : {128, 512, 2048}) {
        for (const bool dram : {false, true}) Register({dtype, false, dram, group, context}, calibration, lease);
        Register({dtype, true, false, group, context}, calibration, lease);
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
