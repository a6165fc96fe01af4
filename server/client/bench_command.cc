// `bitrate bench`: load on a running server, and the figures of serving benchmarks.
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bitrate/v1/model_service.grpc.pb.h"
#include "engine/base/mutex.h"
#include "server/client/bench_report.h"
#include "server/client/client_commands.h"

namespace bitrate {
namespace {

struct Flags {
  ConnectionFlags connection;
  LoadPlan plan;
  double slo_ttft_ms = 200, slo_itl_ms = 50;
  bool json = false;
};

int FindVocabulary(const Connection& connection, Flags& flags) {
  auto stub = v1::ModelService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  v1::GetModelRequest request;
  request.set_model(flags.plan.model.substr(0, flags.plan.model.find('+')));
  v1::GetModelResponse response;
  const grpc::Status status = stub->GetModel(&context, request, &response);
  if (!status.ok()) return ReportRpcError(status, flags.connection.address);
  flags.plan.vocab_size = response.model().vocab_size();
  if (flags.plan.model.empty()) flags.plan.model = response.model().name();
  return 0;
}

int Run(Flags& flags) {
  const Connection connection(flags.connection);
  if (!connection.error().empty()) {
    fmt::print(stderr, "error: {}\n", connection.error());
    return 2;
  }
  if (const int code = FindVocabulary(connection, flags); code != 0) return code;
  const bool progress = isatty(STDERR_FILENO) != 0;
  Mutex mutex;
  const LoadResult result = RunLoad(connection, flags.plan, [&](int finished) {
    if (!progress) return;
    MutexLock lock(&mutex);
    fmt::print(stderr, "\r{} / {} requests", finished, flags.plan.requests);
  });
  if (progress) fmt::print(stderr, "\r\033[K");
  const Objectives objectives{flags.slo_ttft_ms / 1e3, flags.slo_itl_ms / 1e3};
  const BenchReport report = MakeReport(result, objectives);
  if (flags.json) {
    fmt::print("{}\n", ToJson(report, flags.plan, objectives).dump());
  } else {
    fmt::print("{}", ToText(report));
  }
  return report.ok == report.requests ? 0 : 1;
}

}  // namespace

void AddBenchCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("bench", "Put load on a server: TTFT, ITL, TPOT, tokens/s, goodput");
  command->footer(
      "Examples:\n"
      "  bitrate bench --variant int4 --concurrency 8 --requests 64\n"
      "  bitrate bench --rate 2.2 --requests 100 --prompt-tokens 384 --max-tokens 64 --json");
  LoadPlan& plan = flags->plan;
  command->add_option("--model", plan.model, "Model name");
  command->add_option("--variant", plan.variant, "Pin a variant; otherwise the router chooses");
  command->add_option("--requests", plan.requests, "Requests in all")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  auto* concurrency = command->add_option("--concurrency", plan.concurrency, "Closed loop: streams at once")
                          ->capture_default_str()
                          ->check(CLI::Range(1, 1024));
  command->add_option("--rate", plan.rate, "Open loop: Poisson arrivals per second")
      ->check(CLI::PositiveNumber)
      ->excludes(concurrency);
  command->add_option("--prompt-tokens", plan.prompt_tokens, "Random prompt ids a request")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--max-tokens", plan.max_tokens, "Output tokens a request")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--seed", plan.seed, "Of prompts and arrivals")->capture_default_str();
  command->add_option("--slo-ttft-ms", flags->slo_ttft_ms, "Objective for goodput")->capture_default_str();
  command->add_option("--slo-itl-ms", flags->slo_itl_ms, "Objective for goodput, on a request's p99 gap")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddConnectionFlags(*command, &flags->connection);
  command->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace bitrate
