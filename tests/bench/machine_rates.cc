#include "tests/bench/machine_rates.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "engine/base/aligned_buffer.h"
#include "engine/base/cpu_features.h"

namespace bitrate::bench {
namespace {

constexpr int kRepeats = 7;
constexpr size_t kReadBytes = size_t{256} << 20;
constexpr int64_t kPeakIterations = 4'000'000;

std::atomic<uint64_t> read_sink{0};  // keeps the loads alive

uint64_t ReadWords(std::span<const std::byte> bytes) {
  uint64_t sum = 0, word = 0;
  for (size_t at = 0; at + sizeof(word) <= bytes.size(); at += sizeof(word)) {
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    sum += word;
  }
  return sum;
}

PeakLoops LoopsOfThisCpu() {
  switch (DetectIsa()) {
    case Isa::kScalar:
      return {};
    case Isa::kAvx2:
      return Avx2PeakLoops();
    case Isa::kAvx512:
      return Avx512PeakLoops();
  }
  return {};
}

void ReadBytes(std::span<const std::byte> bytes) {
  static const PeakLoops loops = LoopsOfThisCpu();
  read_sink.fetch_add((loops.read != nullptr ? loops.read : ReadWords)(bytes), std::memory_order_relaxed);
}

// Best rate of kRepeats runs of `fn` by `clock`.
template <typename Fn>
double BestRate(double (*clock)(), double work, Fn&& fn) {
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const double begin = clock();
    fn();
    best = std::max(best, work / (clock() - begin));
  }
  return best;
}

MachineRates Measure(Parallel& parallel, double (*clock)()) {
  const int workers = parallel.num_workers();
  std::vector<AlignedBuffer<std::byte>> buffers(static_cast<size_t>(workers));
  const size_t share = kReadBytes / static_cast<size_t>(workers);
  parallel.Run([&](int w) {  // pages belong to who reads them; not all zero, which a hypervisor might merge
    AlignedBuffer<std::byte> buffer(share);
    for (size_t i = 0; i < share; i += 64) buffer[i] = static_cast<std::byte>(i >> 6);
    buffers[static_cast<size_t>(w)] = std::move(buffer);
  });
  MachineRates rates;
  rates.dram_read = BestRate(clock, static_cast<double>(share) * workers, [&] {
    parallel.Run([&](int w) {
      const AlignedBuffer<std::byte>& buffer = buffers[static_cast<size_t>(w)];
      ReadBytes({buffer.data(), buffer.size()});
    });
  });
  const PeakLoops loops = LoopsOfThisCpu();
  const auto peak = [&](double (*ops)(int64_t)) {
    if (ops == nullptr) return 0.0;
    const double one = ops(kPeakIterations);  // warms up and counts
    return BestRate(clock, one * workers, [&] { parallel.Run([&](int) { ops(kPeakIterations); }); });
  };
  rates.float_peak = peak(loops.float_ops);
  rates.bf16_peak = loops.bf16_ops != nullptr ? peak(loops.bf16_ops) : rates.float_peak;
  rates.int8_peak = peak(loops.int8_ops);
  return rates;
}

}  // namespace

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

MachineRates MeasureThreadRates() {
  InlineParallel one;
  return Measure(one, ThreadSeconds);
}

MachineRates MeasureTeamRates(Parallel& parallel) { return Measure(parallel, WallSeconds); }

double ReadPlanes(Parallel& parallel, std::span<const PackedPlane> planes) {
  const int64_t workers = parallel.num_workers();
  const double begin = WallSeconds();
  parallel.Run([&](int w) {
    for (const PackedPlane& plane : planes) {
      const int64_t part = static_cast<int64_t>(plane.bytes.size()) / plane.num_parts;
      const auto first = static_cast<size_t>(part * (plane.num_parts * w / workers));
      const auto last = static_cast<size_t>(part * (plane.num_parts * (w + 1) / workers));
      ReadBytes(plane.bytes.subspan(first, last - first));
    }
  });
  return WallSeconds() - begin;
}

}  // namespace bitrate::bench
