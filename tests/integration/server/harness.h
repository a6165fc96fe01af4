// A server in this process on free ports, over the fake engine or any other loader, and stubs to call it.
#ifndef BITRATE_TESTS_INTEGRATION_SERVER_HARNESS_H_
#define BITRATE_TESTS_INTEGRATION_SERVER_HARNESS_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bitrate/v1/admin_service.grpc.pb.h"
#include "bitrate/v1/inference_service.grpc.pb.h"
#include "bitrate/v1/model_service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/bitrate_server.h"
#include "server/request_log.h"
#include "server/variant_registry.h"
#include "tests/unit/server/fake_engine.h"

namespace bitrate {

template <typename Detail>
std::optional<Detail> FindDetail(const grpc::Status& status) {
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& any : rpc.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

class ServerFixture : public testing::Test {
 protected:
  ServerSettings Defaults() {
    ServerSettings settings;
    settings.grpc.port = settings.admin.port = 0;
    settings.metrics.reset();
    settings.models = {FakeModel("m", {"int8", "int4"})};
    settings.default_model = "m";
    settings.memory_budget_bytes = 0;
    settings.drain_timeout_seconds = 5;
    return settings;
  }

  Status TryStart(const ServerSettings& settings, ModelLoader* loader = nullptr) {
    ServerParts parts;
    parts.loader = loader != nullptr ? loader : &loader_;
    parts.telemetry = telemetry_.get();
    parts.clock = Clock::System();
    parts.log = log_.get();
    auto server = BitrateServer::Start(settings, parts);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    Connect();
    return OkStatus();
  }
  void Start(const ServerSettings& settings, ModelLoader* loader = nullptr) {
    const Status status = TryStart(settings, loader);
    ASSERT_TRUE(status.ok()) << status;
  }

  void Connect() {
    channel_ = NewChannel(server_->grpc_port());
    admin_channel_ = NewChannel(server_->admin_port());
    inference_ = v1::InferenceService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
    admin_ = v1::AdminService::NewStub(admin_channel_);
    health_ = grpc::health::v1::Health::NewStub(channel_);
  }

  // A connection of its own: channels to one address would share theirs.
  static std::shared_ptr<grpc::Channel> NewChannel(int port) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  // A call that hangs fails instead of the whole test running out of time.
  static void Bound(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  static v1::GenerateRequest Request(std::vector<int32_t> prompt = {1, 2, 3}) {
    v1::GenerateRequest request;
    request.mutable_token_ids()->mutable_ids()->Assign(prompt.begin(), prompt.end());
    return request;
  }
  static v1::GenerateStreamRequest StreamRequest(std::vector<int32_t> prompt = {1, 2, 3}) {
    v1::GenerateStreamRequest request;
    request.mutable_token_ids()->mutable_ids()->Assign(prompt.begin(), prompt.end());
    return request;
  }

  grpc::Status Generate(const v1::GenerateRequest& request, v1::GenerateResponse* response) {
    grpc::ClientContext context;
    Bound(&context);
    return inference_->Generate(&context, request, response);
  }
  // A good request is answered: whatever came before harmed nothing.
  void Probe() {
    v1::GenerateResponse response;
    const grpc::Status status = Generate(Request(), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.choices_size(), 1);
  }

  grpc::health::v1::HealthCheckResponse::ServingStatus Health(const std::string& service) {
    grpc::ClientContext context;
    Bound(&context);
    grpc::health::v1::HealthCheckRequest request;
    grpc::health::v1::HealthCheckResponse response;
    request.set_service(service);
    const grpc::Status status = health_->Check(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      return grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN;
    }
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  // For requests that are held back: one that runs through may be gone before anybody looks.
  void WaitForInFlight(int wanted) {
    while (server_->in_flight() != wanted) std::this_thread::yield();
  }
  void WaitForAccepted(const std::string& variant, int64_t wanted) {
    while (server_->registry()->Snapshot("m", variant)->counts.accepted < wanted) std::this_thread::yield();
  }

  void TearDown() override {
    control_.Release();
    if (server_ != nullptr) {
      for (const VariantSnapshot& variant : server_->registry()->Snapshots()) last_counts_.push_back(variant.counts);
      server_->Shutdown();
      server_.reset();
    }
    EXPECT_EQ(control_.live(), 0);
  }

  FakeControl control_;
  FakeLoader loader_{&control_};
  std::unique_ptr<Telemetry> telemetry_ = MakeNullTelemetry();
  std::unique_ptr<RequestLog> log_ = MakeNullLog();
  std::unique_ptr<BitrateServer> server_;
  std::vector<VariantCounts> last_counts_;
  std::shared_ptr<grpc::Channel> channel_, admin_channel_;
  std::unique_ptr<v1::InferenceService::Stub> inference_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace bitrate

#endif  // BITRATE_TESTS_INTEGRATION_SERVER_HARNESS_H_
