// `bitrate generate`: one prompt, streamed to the terminal.
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "bitrate/v1/inference_service.grpc.pb.h"
#include "server/client/client_commands.h"
#include "server/client/connection.h"
#include "server/client/render.h"

namespace bitrate {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string prompt, model, adapter, variant, unit, system;
  bool chat = false, json = false, no_stream = false;
  int max_tokens = 128, top_k = 0, n = 1;
  float temperature = 0, top_p = 1;
  uint64_t seed = 0;
  bool has_seed = false;
  std::vector<std::string> stop;
};

template <typename Request>
Request MakeRequest(const Flags& flags) {
  Request request;
  std::string model = flags.model;
  if (!flags.adapter.empty()) model.insert(std::min(model.find(':'), model.size()), "+" + flags.adapter);
  FillSelector(model, flags.variant, flags.unit, request.mutable_model());
  if (flags.chat || !flags.system.empty()) {
    auto* chat = request.mutable_chat();
    if (!flags.system.empty()) {
      auto* message = chat->add_messages();
      message->set_role("system");
      message->set_content(flags.system);
    }
    auto* message = chat->add_messages();
    message->set_role("user");
    message->set_content(flags.prompt);
  } else {
    request.set_text(flags.prompt);
  }
  auto* sampling = request.mutable_sampling();
  sampling->set_temperature(flags.temperature);
  if (flags.top_p != 1) sampling->set_top_p(flags.top_p);
  if (flags.top_k != 0) sampling->set_top_k(flags.top_k);
  if (flags.has_seed) sampling->set_seed(flags.seed);
  request.mutable_stop()->set_max_tokens(flags.max_tokens);
  for (const std::string& stop : flags.stop) request.mutable_stop()->add_stop(stop);
  request.set_n(flags.n);
  return request;
}

void PrintChoices(const Flags& flags, const v1::GenerateResponse& response) {
  for (const v1::Choice& choice : response.choices()) {
    if (flags.n > 1) fmt::print("--- {}\n", choice.index());
    fmt::print("{}\n", choice.text());
  }
}

int RunUnary(const Flags& flags, const Connection& connection) {
  auto stub = v1::InferenceService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  v1::GenerateResponse response;
  const grpc::Status status = stub->Generate(&context, MakeRequest<v1::GenerateRequest>(flags), &response);
  if (!status.ok()) return ReportRpcError(status, flags.connection.address);
  if (flags.json) {
    fmt::print("{}\n", ToJsonLine(response));
    return 0;
  }
  PrintChoices(flags, response);
  PrintSummary(response.route(), response.usage(), response.timing(), response.cost());
  return 0;
}

int RunStream(const Flags& flags, const Connection& connection) {
  auto stub = v1::InferenceService::NewStub(connection.channel());
  grpc::ClientContext context;
  connection.Prepare(context);
  auto stream = stub->GenerateStream(&context, MakeRequest<v1::GenerateStreamRequest>(flags));
  v1::GenerateStreamResponse event;
  v1::Route route;
  while (stream->Read(&event)) {
    if (flags.json) {
      fmt::print("{}\n", ToJsonLine(event));
    } else if (event.has_delta()) {
      fmt::print("{}", event.delta().text());
    } else if (event.has_started()) {
      route = event.started().route();
    } else if (event.has_summary()) {
      fmt::print("\n");
      PrintSummary(route, event.summary().usage(), event.summary().timing(), event.summary().cost());
    }
    std::fflush(stdout);
  }
  const grpc::Status status = stream->Finish();
  if (status.ok()) return 0;
  if (!flags.json) fmt::print("\n");
  return ReportRpcError(status, flags.connection.address);
}

int Run(Flags& flags) {
  if (!ReadPrompt(&flags.prompt)) return 2;
  const Connection connection(flags.connection);
  if (!connection.error().empty()) {
    fmt::print(stderr, "error: {}\n", connection.error());
    return 2;
  }
  // Several choices would interleave on a terminal.
  if (flags.no_stream || (flags.n > 1 && !flags.json)) return RunUnary(flags, connection);
  return RunStream(flags, connection);
}

}  // namespace

void AddGenerateCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("generate", "Generate text from a prompt, streamed to the terminal");
  command->footer(
      "Examples:\n"
      "  bitrate generate \"The capital of France is\" --variant int8 --max-tokens 32\n"
      "  echo \"Why is the sky blue?\" | bitrate generate - --chat --temperature 0.7 --seed 1\n"
      "  bitrate generate \"Hello\" --chat --json      (one JSON event a line)");
  command->add_option("prompt", flags->prompt, "The prompt; - reads standard input")->required();
  command->add_option("--model", flags->model, "model, model:variant or model+adapter[:variant]");
  command->add_option("--adapter", flags->adapter, "LoRA adapter of the model, by name: as --model MODEL+ADAPTER");
  command->add_option("--variant", flags->variant, "Pin a variant, e.g. int4; otherwise the router chooses");
  command->add_option("--unit", flags->unit, "Sticky routing key, e.g. a user id")->excludes("--variant");
  command->add_flag("--chat", flags->chat, "Treat the prompt as a user message and apply the chat template");
  command->add_option("--system", flags->system, "System message (implies --chat)");
  command->add_option("--max-tokens", flags->max_tokens, "Tokens at most")->capture_default_str();
  command->add_option("--temperature", flags->temperature, "0 = greedy")->capture_default_str();
  command->add_option("--top-p", flags->top_p, "Nucleus")->capture_default_str();
  command->add_option("--top-k", flags->top_k, "0 = off")->capture_default_str();
  auto* seed = command->add_option("--seed", flags->seed, "Repeats an answer; drawn by the server otherwise");
  command->add_option("-n,--n", flags->n, "Number of answers")->capture_default_str();
  command->add_option("--stop", flags->stop, "Stop string; may be given more than once");
  command->add_flag("--no-stream", flags->no_stream, "Wait for the whole answer (unary RPC)");
  command->add_flag("--json", flags->json, "Print the server's messages as JSON lines");
  AddConnectionFlags(*command, &flags->connection);
  command->callback([flags, seed, exit_code] {
    flags->has_seed = seed->count() > 0;
    *exit_code = Run(*flags);
  });
}

void AddClientCommands(CLI::App& app, int* exit_code) {
  AddGenerateCommand(app, exit_code);
  AddCompareCommand(app, exit_code);
  AddModelsCommand(app, exit_code);
  AddBenchCommand(app, exit_code);
}

}  // namespace bitrate
