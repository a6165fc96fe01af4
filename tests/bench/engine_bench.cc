// Engine-level speed without transport, as JSON lines with a "kind" each:
//   machine_rates  read GB/s and GOP/s of all workers at once (--rates)
//   model          what a precision resolved to: bits, bytes, kernels
//   packed_read    share of a plain read of the same packed weights that decode at batch 1 reaches (--packed-read)
//   decode         tokens/s of fixed batches; mean and median step
//   prefill        tokens/s of one prompt (--prefill); samples are listed
//   engine_bench MODEL int4,int8 1,8 128 64 2
//   engine_bench MODEL bf16 1 --prefill 512,2048 --packed-read 24 --rates
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/backend/backend.h"
#include "tests/bench/engine_measure.h"
#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

using nlohmann::ordered_json;

struct Flags {
  std::string model, precisions, batches = "1,8", prefill;  // lists: separated by commas
  int prompt = 128, decode = 64, threads = 0, chunk = 512, repeats = 3, packed_read = 0;
  bool rates = false;
};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// Numbers of 1 or more; the list was checked when the arguments were parsed.
std::vector<int> Numbers(const std::string& text) {
  std::vector<int> numbers;
  for (const std::string& part : Split(text)) numbers.push_back(std::atoi(part.c_str()));
  return numbers;
}

std::string CheckNumbers(const std::string& text) {
  for (int number : Numbers(text)) {
    if (number < 1 || number > (1 << 20)) return "wanted numbers from 1 to 1048576, separated by commas";
  }
  return "";
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void Print(const ordered_json& row) {
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
}

void PrintRates(ComputePool& pool, ComputePool::ClientId client) {
  auto lease = pool.Acquire(client);
  const MachineRates rates = MeasureTeamRates(lease);
  Print({{"kind", "machine_rates"},
         {"threads", pool.num_workers()},
         {"read_gb_per_second", rates.dram_read * 1e-9},
         {"float_gop_per_second", rates.float_peak * 1e-9},
         {"bf16_gop_per_second", rates.bf16_peak * 1e-9},
         {"int8_gop_per_second", rates.int8_peak * 1e-9}});
}

uint64_t StreamedBytes(const DecoderModel& model) {
  uint64_t bytes = 0;
  for (const PackedPlane& plane : model.PackedPlanes()) bytes += plane.bytes.size();
  return bytes;
}

void PrintModel(const DecoderModel& model, const std::string& precision) {
  const LinearInfo body = model.linear_info(), head = model.head_info();
  Print({{"kind", "model"},
         {"precision", precision},
         {"weight_bits", model.weight_bits()},
         {"weight_bytes", model.weight_bytes()},
         {"streamed_bytes", StreamedBytes(model)},
         {"kernel", body.kernel},
         {"prefill_kernel", body.prefill_kernel},
         {"head_kernel", head.kernel},
         {"head_bits", head.weight_bits},
         {"kv_bits", 8 * DTypeBytes(model.MakeKvGeometry().dtype)}});
}

void PrintDecode(const Bench& bench, const std::string& precision, int batch, const Flags& flags) {
  const DecodeTimes times = MeasureDecode(bench, batch, flags.prompt, flags.decode);
  const double step = Mean(times.step_seconds);
  Print({{"kind", "decode"},
         {"precision", precision},
         {"batch", batch},
         {"prompt_tokens", flags.prompt},
         {"decode_tokens", flags.decode},
         {"decode_tokens_per_second", batch / step},
         {"step_ms_mean", step * 1e3},
         {"step_ms_median", Median(times.step_seconds) * 1e3},
         {"prefill_tokens_per_second", flags.prompt / Median(times.prompt_seconds)},
         {"gb_per_second", static_cast<double>(StreamedBytes(*bench.model)) / step * 1e-9},
         {"kernel", bench.model->linear_info().kernel}});
}

void PrintPrefill(const Bench& bench, const std::string& precision, int tokens, const Flags& flags) {
  const std::vector<double> seconds = MeasurePrefill(bench, tokens, flags.chunk, flags.repeats);
  std::vector<double> rates;
  for (double s : seconds) rates.push_back(tokens / s);
  Print({{"kind", "prefill"},
         {"precision", precision},
         {"prompt_tokens", tokens},
         {"chunk_tokens", flags.chunk},
         {"prefill_tokens_per_second", Median(rates)},
         {"samples", rates},
         {"kernel", bench.model->linear_info().prefill_kernel}});
}

void PrintReadShare(const Bench& bench, const std::string& precision, const Flags& flags) {
  const ReadShare share = MeasureReadShare(bench, flags.prompt, flags.packed_read);
  std::vector<double> shares;
  for (size_t i = 0; i < share.read_seconds.size(); ++i)
    shares.push_back(share.read_seconds[i] / share.step_seconds[i]);
  const double median = Median(shares);
  std::vector<double> deviations;
  for (double s : shares) deviations.push_back(s > median ? s - median : median - s);
  const auto bytes = static_cast<double>(share.bytes);
  Print({{"kind", "packed_read"},
         {"precision", precision},
         {"bytes", share.bytes},
         {"pairs", flags.packed_read},
         {"share_median", median},
         {"share_mad", Median(deviations)},
         {"read_gb_per_second", bytes / Median(share.read_seconds) * 1e-9},
         {"decode_gb_per_second", bytes / Median(share.step_seconds) * 1e-9}});
}

Status RunPrecision(const Checkpoint& checkpoint, const Backend& backend, const Flags& flags, ComputePool& pool,
                    ComputePool::ClientId client, const std::string& name) {
  ASSIGN_OR_RETURN(const Precision precision, Precision::Parse(name));
  Bench bench{nullptr, &pool, client};
  {
    auto lease = pool.Acquire(client);
    ASSIGN_OR_RETURN(bench.model, DecoderModel::Load(checkpoint, backend, lease, nullptr, {.precision = precision}));
  }
  PrintModel(*bench.model, name);
  if (flags.packed_read > 0) PrintReadShare(bench, name, flags);
  for (int batch : Numbers(flags.batches)) PrintDecode(bench, name, batch, flags);
  for (int tokens : Numbers(flags.prefill)) PrintPrefill(bench, name, tokens, flags);
  return OkStatus();
}

Status Run(const Flags& flags) {
  ComputePool pool({.num_threads = flags.threads});
  const ComputePool::ClientId client = pool.Register("bench");
  if (flags.rates) PrintRates(pool, client);
  if (flags.precisions.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::Open(flags.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeCpuBackend());
  for (const std::string& name : Split(flags.precisions)) {
    RETURN_IF_ERROR(RunPrecision(*checkpoint, *backend, flags, pool, client, name));
  }
  return OkStatus();
}

void AddOptions(CLI::App& app, Flags& flags) {
  const auto positive = CLI::Range(1, 1 << 20);
  app.add_option("MODEL", flags.model, "Model folder or .gguf file; not needed for --rates alone");
  app.add_option("PRECISIONS", flags.precisions, "fp32,bf16,int4 ...");
  app.add_option("BATCHES", flags.batches, "Sequences decoded together")->check(CheckNumbers)->capture_default_str();
  app.add_option("PROMPT", flags.prompt, "Tokens before the decode")->check(positive)->capture_default_str();
  app.add_option("DECODE", flags.decode, "Decode steps")->check(positive)->capture_default_str();
  app.add_option("THREADS,--threads", flags.threads, "Workers; 0 = usable CPUs")->check(CLI::Range(0, 1024));
  app.add_option("--prefill", flags.prefill, "Prompt lengths to time, e.g. 512,2048")->check(CheckNumbers);
  app.add_option("--chunk", flags.chunk, "Most tokens of a prefill step")->check(positive)->capture_default_str();
  app.add_option("--repeats", flags.repeats, "Prefills counted")->check(positive)->capture_default_str();
  app.add_option("--packed-read", flags.packed_read, "Decode steps alternated with reads of the packed weights")
      ->check(positive);
  app.add_flag("--rates", flags.rates, "Measure the machine's read bandwidth and peaks first");
}

int Main(int argc, char** argv) {
  CLI::App app("Decode and prefill through the decoder without transport; JSON lines");
  Flags flags;
  AddOptions(app, flags);
  CLI11_PARSE(app, argc, argv);
  if (flags.precisions.empty() && !flags.rates) {
    std::fprintf(stderr, "error: no PRECISIONS and no --rates: nothing to do; --help shows the arguments\n");
    return 2;
  }
  const Status status = Run(flags);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace bitrate::bench

int main(int argc, char** argv) { return bitrate::bench::Main(argc, argv); }
