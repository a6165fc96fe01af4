#include "server/client/connection.h"

#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bitrate {
namespace {

bool ReadFile(const std::string& path, std::string* text) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  text->assign(std::istreambuf_iterator<char>(file), {});
  return true;
}

void PrintDetail(const google::protobuf::Any& any) {
  google::rpc::BadRequest bad;
  google::rpc::RetryInfo retry;
  if (any.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      fmt::print(stderr, "  field {}: {}\n", violation.field(), violation.description());
    }
  } else if (any.UnpackTo(&retry)) {
    const double seconds = static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9;
    fmt::print(stderr, "  retry in {:.1f} s\n", seconds);
  }
}

const char* CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  return code >= 0 && code < static_cast<int>(std::size(kNames)) ? kNames[code] : "?";
}

}  // namespace

void AddConnectionFlags(CLI::App& command, ConnectionFlags* flags) {
  command.add_option("--address", flags->address, "Server's gRPC address")->capture_default_str();
  command.add_option("--api-key-env", flags->api_key_env, "Environment variable that holds the API key");
  command.add_option("--tls-ca", flags->tls_ca_file, "CA certificate: connect by TLS");
  command.add_option("--timeout", flags->timeout_seconds, "Deadline of a call, seconds")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

Connection::Connection(const ConnectionFlags& flags) : flags_(flags) {
  if (!flags.api_key_env.empty()) {
    const char* key = std::getenv(flags.api_key_env.c_str());
    if (key == nullptr || *key == '\0') {
      error_ = fmt::format("--api-key-env: the environment variable {} is not set", flags.api_key_env);
      return;
    }
    api_key_ = key;
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!flags.tls_ca_file.empty()) {
    grpc::SslCredentialsOptions options;
    if (!ReadFile(flags.tls_ca_file, &options.pem_root_certs)) {
      error_ = fmt::format("--tls-ca: cannot read {}", flags.tls_ca_file);
      return;
    }
    credentials = grpc::SslCredentials(options);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
  channel_ = grpc::CreateCustomChannel(flags.address, credentials, arguments);
}

void Connection::Prepare(grpc::ClientContext& context) const {
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(
                           std::chrono::duration<double>(flags_.timeout_seconds)));
  if (!api_key_.empty()) context.AddMetadata("authorization", "Bearer " + api_key_);
}

int ReportRpcError(const grpc::Status& status, const std::string& address) {
  fmt::print(stderr, "error: {}: {}\n", CodeName(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& any : details.details()) PrintDetail(any);
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty()) {
    fmt::print(stderr, "  is a server running at {}? Start one with: bitrate serve MODEL\n", address);
  }
  const bool wrong_use =
      status.error_code() == grpc::StatusCode::INVALID_ARGUMENT || status.error_code() == grpc::StatusCode::NOT_FOUND;
  return wrong_use ? 2 : 1;
}

bool ReadPrompt(std::string* prompt) {
  if (*prompt == "-") prompt->assign(std::istreambuf_iterator<char>(std::cin), {});
  if (!prompt->empty()) return true;
  fmt::print(stderr, "error: the prompt is empty\n");
  return false;
}

void FillSelector(const std::string& model, const std::string& variant, const std::string& unit,
                  v1::ModelSelector* selector) {
  selector->set_model(model);
  if (!variant.empty()) selector->set_variant(variant);
  if (!unit.empty()) selector->mutable_routing()->set_unit_id(unit);
}

}  // namespace bitrate
