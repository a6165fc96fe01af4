#include "server/grpc/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/service_type.h>

#include <fstream>
#include <iterator>
#include <mutex>

#include "server/grpc/admin_service.h"
#include "server/grpc/call_info.h"
#include "server/grpc/inference_service.h"
#include "server/grpc/model_service.h"
#include "server/grpc/reflection_v1.h"
#include "server/settings.h"

namespace bitrate {
namespace {

// Two pings a client may send too early before it is told to go away are gRPC's default; these are the intervals.
constexpr int kMinClientPingMs = 10'000;
constexpr int kKeepaliveTimeMs = 60'000;  // finds dead readers of streams
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kConnectionGraceMs = 600'000;  // for calls that run when a connection has reached its age

StatusOr<std::string> ReadFile(const std::string& path, const char* what) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound("{}: cannot read {}", what, path);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (text.find("-----BEGIN") == std::string::npos) return InvalidArgument("{}: {} is no PEM file", what, path);
  return text;
}

StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const TlsSettings& tls) {
  if (!tls.enabled()) return grpc::InsecureServerCredentials();
  ASSIGN_OR_RETURN(std::string key, ReadFile(tls.key_file, "tls.key_file"));
  ASSIGN_OR_RETURN(std::string cert, ReadFile(tls.cert_file, "tls.cert_file"));
  grpc::SslServerCredentialsOptions options;
  if (!tls.client_ca_file.empty()) {
    ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(tls.client_ca_file, "tls.client_ca_file"));
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  options.pem_key_cert_pairs.push_back({std::move(key), std::move(cert)});
  return grpc::SslServerCredentials(options);
}

// Reflection v1alpha for one server, or none: a program that links the library gets it on every server by itself.
class ReflectionOption final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionOption(bool enabled) : enabled_(enabled) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    auto own = std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>();
    const std::string name = own->name();
    std::erase_if(*plugins, [&](const auto& plugin) { return plugin->name() == name; });
    if (enabled_) plugins->push_back(std::move(own));
  }

 private:
  const bool enabled_;
};

struct OneServer {
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

void SetLimits(const LimitSettings& limits, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  builder->SetMaxSendMessageSize(-1);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server on the port is an error, not a surprise
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingMs);
  if (limits.max_connection_age_seconds > 0) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                                static_cast<int>(limits.max_connection_age_seconds * 1000));
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kConnectionGraceMs);
  }
}

Status StartOne(const ServerSettings& settings, const Address& address, std::vector<std::string> names,
                std::shared_ptr<grpc::ServerCredentials> credentials, OneServer* out) {
  grpc::ServerBuilder builder;
  SetLimits(settings.limits, &builder);
  if (settings.reflection) {
    names.insert(names.end(), {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                               "grpc.reflection.v1alpha.ServerReflection"});
    out->services.push_back(MakeReflectionV1(names));
  }
  builder.SetOption(std::make_unique<ReflectionOption>(settings.reflection));
  builder.AddListeningPort(address.ToString(), std::move(credentials), &out->port);
  for (const auto& service : out->services) builder.RegisterService(service.get());
  out->server = builder.BuildAndStart();
  if (out->server == nullptr || out->port == 0) {
    return Unavailable("cannot listen on {}: the address is taken or not this machine's", address.ToString());
  }
  return OkStatus();
}

class Servers final : public GrpcServers {
 public:
  ~Servers() override { Shutdown(Duration::zero()); }

  Status Init(const ServiceEnv* env) {
    static std::once_flag once;
    std::call_once(once, [] { grpc::EnableDefaultHealthCheckService(true); });
    const ServerSettings& settings = *env->settings;
    ASSIGN_OR_RETURN(const auto credentials, MakeCredentials(settings.tls));
    public_.services.push_back(MakeInferenceService(env));
    public_.services.push_back(MakeModelService(env));
    RETURN_IF_ERROR(StartOne(settings, settings.grpc, {"bitrate.v1.InferenceService", "bitrate.v1.ModelService"},
                             credentials, &public_));
    SetHealth("", false);
    admin_.services.push_back(MakeAdminService(env));
    admin_.services.push_back(MakeModelService(env));
    RETURN_IF_ERROR(StartOne(settings, settings.admin, {"bitrate.v1.AdminService", "bitrate.v1.ModelService"},
                             credentials, &admin_));
    SetHealth("", false);
    SetHealth("liveness", true);
    return OkStatus();
  }

  void SetHealth(const std::string& service, bool serving) override {
    for (OneServer* one : {&public_, &admin_}) {
      if (one->server == nullptr) continue;
      auto* health = one->server->GetHealthCheckService();
      if (health != nullptr) health->SetServingStatus(service, serving);
    }
  }

  void Shutdown(Duration grace) override {
    const auto deadline =
        std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(grace);
    for (OneServer* one : {&public_, &admin_}) {
      if (one->server != nullptr) one->server->Shutdown(deadline);
    }
    for (OneServer* one : {&public_, &admin_}) {
      if (one->server != nullptr) one->server->Wait();
    }
  }

  int grpc_port() const override { return public_.port; }
  int admin_port() const override { return admin_.port; }

 private:
  OneServer public_, admin_;
};

}  // namespace

std::string VariantHealthName(const std::string& model, const std::string& variant) {
  return "bitrate.variant." + model + "." + variant;
}

StatusOr<std::unique_ptr<GrpcServers>> GrpcServers::Start(const ServiceEnv* env) {
  auto servers = std::make_unique<Servers>();
  RETURN_IF_ERROR(servers->Init(env));
  return StatusOr<std::unique_ptr<GrpcServers>>(std::move(servers));
}

}  // namespace bitrate
