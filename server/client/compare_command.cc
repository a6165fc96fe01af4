// `bitrate compare`: one prompt on several variants, side by side.
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "bitrate/v1/inference_service.grpc.pb.h"
#include "bitrate/v1/model_service.grpc.pb.h"
#include "server/client/client_commands.h"
#include "server/client/connection.h"
#include "server/client/render.h"

namespace bitrate {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string prompt, model, reference;
  std::vector<std::string> variants;
  bool chat = false, json = false, ignore_eos = false;
  int max_tokens = 64;
};

v1::CompareRequest MakeRequest(const Flags& flags) {
  v1::CompareRequest request;
  request.set_model(flags.model);
  if (flags.chat) {
    auto* message = request.mutable_chat()->add_messages();
    message->set_role("user");
    message->set_content(flags.prompt);
  } else {
    request.set_text(flags.prompt);
  }
  for (const std::string& variant : flags.variants) request.add_variants(variant);
  request.set_reference_variant(flags.reference);
  request.set_max_tokens(flags.max_tokens);
  request.set_ignore_eos(flags.ignore_eos);
  return request;
}

std::map<std::string, v1::Variant> ListVariants(const Connection& connection, const std::string& model) {
  auto stub = v1::ModelService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  v1::ListVariantsRequest request;
  request.set_model(model.substr(0, model.find('+')));
  v1::ListVariantsResponse response;
  std::map<std::string, v1::Variant> variants;
  // Without it the table only lacks two columns.
  if (!stub->ListVariants(&context, request, &response).ok()) return variants;
  for (const v1::Variant& variant : response.variants()) variants[variant.name()] = variant;
  return variants;
}

std::vector<std::string> Row(const v1::CompareResult& result, const v1::Variant& variant) {
  const int tokens = std::max(1, result.usage().completion_tokens());
  const double device_per_million = result.cost().device_seconds() / tokens * 1e6;
  const std::string price =
      result.cost().currency_code().empty() ? "-" : fmt::format("{:.3f}", Amount(result.cost()) / tokens * 1e6);
  std::string diverges = result.is_reference() ? "(reference)" : "never";
  if (result.has_first_divergence()) diverges = fmt::format("token {}", result.first_divergence());
  return {result.variant(),
          result.precision(),
          fmt::format("{:.2f}", variant.weight_bits()),
          HumanBytes(variant.resident_bytes().weights()),
          fmt::format("{:.1f}", Seconds(variant.load_duration())),
          fmt::format("{:.0f}", Seconds(result.timing().time_to_first_token()) * 1e3),
          fmt::format("{:.1f}", DecodeRate(result.usage(), result.timing())),
          fmt::format("{:.0f}", device_per_million),
          price,
          fmt::format("{:.1f}%", result.top1_agreement() * 100),
          fmt::format("{:.4f}", result.mean_logprob_gap()),
          diverges,
          OneLine(result.text(), 60)};
}

int Print(const Flags& flags, const std::vector<v1::CompareResult>& results,
          const std::map<std::string, v1::Variant>& variants) {
  std::string currency = "cost";
  for (const auto& result : results) {
    if (!result.cost().currency_code().empty()) currency = result.cost().currency_code();
  }
  Table table({"variant", "precision", "bits/w", "weights", "load s", "TTFT ms", "tok/s", "device-s/1M tok",
               currency + "/1M tok", "agreement", "logprob gap", "diverges", "text"},
              {true, true, false, false, false, false, false, false, false, false, false, true, true});
  int failed = 0;
  for (const auto& result : results) {
    if (result.has_error()) {
      fmt::print(stderr, "error: {}: {}\n", result.variant(), result.error().message());
      ++failed;
      continue;
    }
    const auto variant = variants.find(result.variant());
    table.AddRow(Row(result, variant == variants.end() ? v1::Variant() : variant->second));
  }
  fmt::print("{}", table.ToString());
  fmt::print(
      "\nagreement: same top-1 token as the reference, under teacher forcing of the reference's tokens; "
      "logprob gap: mean nats lost on them. Greedy, {} tokens at most.\n",
      flags.max_tokens);
  return failed == 0 ? 0 : 1;
}

int Run(Flags& flags) {
  if (!ReadPrompt(&flags.prompt)) return 2;
  const Connection connection(flags.connection);
  if (!connection.error().empty()) {
    fmt::print(stderr, "error: {}\n", connection.error());
    return 2;
  }
  auto stub = v1::InferenceService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  auto stream = stub->Compare(&context, MakeRequest(flags));
  v1::CompareResponse event;
  std::vector<v1::CompareResult> results;
  std::string model = flags.model;
  while (stream->Read(&event)) {
    if (flags.json) fmt::print("{}\n", ToJsonLine(event));
    if (event.has_started()) model = event.started().model();
    if (event.has_result()) results.push_back(event.result());
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return ReportRpcError(status, flags.connection.address);
  if (flags.json) return 0;
  return Print(flags, results, ListVariants(connection, model));
}

}  // namespace

void AddCompareCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("compare", "Run one prompt on several variants and show them side by side");
  command->footer(
      "Examples:\n"
      "  bitrate compare \"The capital of France is\"\n"
      "  bitrate compare \"Explain tides.\" --chat --variants fp32,int8,int4 --max-tokens 48");
  command->add_option("prompt", flags->prompt, "The prompt; - reads standard input")->required();
  command->add_option("--model", flags->model, "Model name");
  command->add_option("--variants", flags->variants, "Variants to compare; all ready ones otherwise")->delimiter(',');
  command->add_option("--reference", flags->reference, "Variant that the others are compared with");
  command->add_flag("--chat", flags->chat, "Apply the chat template");
  command->add_option("--max-tokens", flags->max_tokens, "Tokens at most")->capture_default_str();
  command->add_flag("--ignore-eos", flags->ignore_eos, "Go on past the end-of-sequence token");
  command->add_flag("--json", flags->json, "Print the server's messages as JSON lines");
  AddConnectionFlags(*command, &flags->connection);
  command->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace bitrate
