// `bitrate models`: what a server has, one line a variant.
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "bitrate/v1/model_service.grpc.pb.h"
#include "server/client/client_commands.h"
#include "server/client/connection.h"
#include "server/client/render.h"

namespace bitrate {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string model;
  bool json = false;
};

std::string StateName(v1::VariantState state) {
  std::string name = v1::VariantState_Name(state).substr(sizeof("VARIANT_STATE_") - 1);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

int Run(const Flags& flags) {
  const Connection connection(flags.connection);
  if (!connection.error().empty()) {
    fmt::print(stderr, "error: {}\n", connection.error());
    return 2;
  }
  auto stub = v1::ModelService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  v1::ListVariantsRequest request;
  request.set_model(flags.model);
  v1::ListVariantsResponse response;
  const grpc::Status status = stub->ListVariants(&context, request, &response);
  if (!status.ok()) return ReportRpcError(status, flags.connection.address);
  if (flags.json) {
    for (const v1::Variant& variant : response.variants()) fmt::print("{}\n", ToJsonLine(variant));
    return 0;
  }
  Table table({"model", "variant", "state", "precision", "bits/w", "weights", "unique", "KV", "KV as", "context",
               "load s", "activations", "kernel"},
              {true, true, true, true, false, false, false, false, true, false, false, true, true});
  for (const v1::Variant& v : response.variants()) {
    table.AddRow({v.model(), v.name(), StateName(v.state()), v.precision(), fmt::format("{:.2f}", v.weight_bits()),
                  HumanBytes(v.resident_bytes().weights()), HumanBytes(v.resident_bytes().weights_unique()),
                  HumanBytes(v.resident_bytes().kv()), v.kv_precision(), fmt::format("{}", v.max_context()),
                  fmt::format("{:.1f}", Seconds(v.load_duration())), v.activation_precision(), v.kernel()});
  }
  fmt::print("{}", table.ToString());
  for (const v1::Variant& v : response.variants()) {
    if (v.has_error()) fmt::print("{}:{} failed: {}\n", v.model(), v.name(), v.error().message());
  }
  return 0;
}

}  // namespace

void AddModelsCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("models", "List the models and variants of a server");
  command->footer("Examples:\n  bitrate models\n  bitrate models --json --address 10.0.0.5:9000");
  command->add_option("--model", flags->model, "Only this model");
  command->add_flag("--json", flags->json, "One JSON object a variant");
  AddConnectionFlags(*command, &flags->connection);
  command->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace bitrate
