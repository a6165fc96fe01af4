// What platforms and clients expect beside the API: health, reflection, keys, drain at shutdown, ports.
#include <google/protobuf/descriptor.pb.h>

#include <fstream>
#include <set>
#include <thread>

#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

using grpc::StatusCode;
using Serving = grpc::health::v1::HealthCheckResponse;
namespace rpb = grpc::reflection::v1;

class PlatformTest : public ServerFixture {
 protected:
  // v1alpha has the same messages on the wire: the path of the method is all that differs.
  std::vector<rpb::ServerReflectionResponse> Reflect(const std::string& version,
                                                     const std::vector<rpb::ServerReflectionRequest>& requests,
                                                     grpc::Status* status) {
    using Stub = grpc::internal::RpcMethod;
    const std::string path = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo";
    grpc::ClientContext context;
    Bound(&context);
    const Stub method(path.c_str(), Stub::BIDI_STREAMING, channel_);
    std::unique_ptr<grpc::ClientReaderWriter<rpb::ServerReflectionRequest, rpb::ServerReflectionResponse>> stream(
        grpc::internal::ClientReaderWriterFactory<rpb::ServerReflectionRequest, rpb::ServerReflectionResponse>::Create(
            channel_.get(), method, &context));
    std::vector<rpb::ServerReflectionResponse> responses;
    for (const auto& request : requests) {
      rpb::ServerReflectionResponse response;
      if (!stream->Write(request) || !stream->Read(&response)) break;
      responses.push_back(response);
    }
    stream->WritesDone();
    *status = stream->Finish();
    return responses;
  }
};

TEST_F(PlatformTest, HealthNames) {
  Start(Defaults());
  for (const char* name : {"", "liveness", "bitrate.v1.InferenceService", "bitrate.v1.ModelService",
                           "bitrate.variant.m.int8", "bitrate.variant.m.int4"}) {
    EXPECT_EQ(Health(name), Serving::SERVING) << name;
  }
  EXPECT_EQ(Health("bitrate.variant.m.fp32"), Serving::SERVICE_UNKNOWN);
}

TEST_F(PlatformTest, HealthWatchSeesTheDrain) {
  Start(Defaults());
  grpc::ClientContext context;
  Bound(&context);
  grpc::health::v1::HealthCheckRequest request;
  auto reader = health_->Watch(&context, request);
  Serving status;
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.status(), Serving::SERVING);
  server_->StartDrain();
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.status(), Serving::NOT_SERVING);
  context.TryCancel();
  reader->Finish();
}

TEST_F(PlatformTest, HealthFollowsAFailedEngine) {
  Start(Defaults());
  grpc::ClientContext context;
  Bound(&context);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("bitrate.variant.m.int8");
  auto reader = health_->Watch(&context, request);
  Serving status;
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.status(), Serving::SERVING);
  control_.Break();
  ASSERT_TRUE(reader->Read(&status));
  EXPECT_EQ(status.status(), Serving::NOT_SERVING);
  context.TryCancel();
  reader->Finish();
}

TEST_F(PlatformTest, ReflectionV1AndV1alpha) {
  Start(Defaults());
  for (const char* version : {"v1", "v1alpha"}) {
    SCOPED_TRACE(version);
    std::vector<rpb::ServerReflectionRequest> requests(4);
    requests[0].set_list_services("");
    requests[1].set_file_containing_symbol("bitrate.v1.InferenceService");
    requests[2].set_file_by_filename("bitrate/v1/types.proto");
    requests[3].set_file_containing_symbol("no.such.Thing");
    grpc::Status status;
    const auto responses = Reflect(version, requests, &status);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(responses.size(), 4u);
    std::set<std::string> names;
    for (const auto& service : responses[0].list_services_response().service()) names.insert(service.name());
    EXPECT_TRUE(names.contains("bitrate.v1.InferenceService"));
    EXPECT_TRUE(names.contains("bitrate.v1.ModelService"));
    EXPECT_TRUE(names.contains("grpc.reflection.v1.ServerReflection"));
    EXPECT_FALSE(names.contains("bitrate.v1.AdminService"));  // on the other port
    std::set<std::string> files;
    for (const std::string& bytes : responses[1].file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      ASSERT_TRUE(file.ParseFromString(bytes));
      files.insert(file.name());
    }
    EXPECT_TRUE(files.contains("bitrate/v1/inference_service.proto"));
    EXPECT_GE(responses[2].file_descriptor_response().file_descriptor_proto_size(), 1);
    EXPECT_EQ(responses[3].error_response().error_code(), StatusCode::NOT_FOUND);
  }
}

TEST_F(PlatformTest, ReflectionCanBeOff) {
  ServerSettings settings = Defaults();
  settings.reflection = false;
  Start(settings);
  for (const char* version : {"v1", "v1alpha"}) {
    grpc::Status status;
    rpb::ServerReflectionRequest request;
    request.set_list_services("");
    Reflect(version, {request}, &status);
    EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED) << version;
  }
}

TEST_F(PlatformTest, ApiKeyOnEveryCallButHealth) {
  ::setenv("BITRATE_TEST_KEY", "s3cret", 1);
  ServerSettings settings = Defaults();
  settings.api_key_env = "BITRATE_TEST_KEY";
  Start(settings);
  const auto call = [&](const char* key, const char* value) {
    grpc::ClientContext context;
    Bound(&context);
    if (key != nullptr) context.AddMetadata(key, value);
    v1::GenerateResponse response;
    return inference_->Generate(&context, Request(), &response).error_code();
  };
  EXPECT_EQ(call(nullptr, nullptr), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(call("x-api-key", "wrong"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(call("authorization", "s3cret"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(call("x-api-key", "s3cret"), StatusCode::OK);
  EXPECT_EQ(call("authorization", "Bearer s3cret"), StatusCode::OK);
  EXPECT_EQ(Health(""), Serving::SERVING);
  // Every other door, unary and streaming, on both ports.
  grpc::ClientContext c1, c2, c3, c4, c5, c6, c7;
  v1::ListModelsResponse models;
  EXPECT_EQ(models_->ListModels(&c1, {}, &models).error_code(), StatusCode::UNAUTHENTICATED);
  v1::GetStatsResponse stats;
  EXPECT_EQ(admin_->GetStats(&c2, {}, &stats).error_code(), StatusCode::UNAUTHENTICATED);
  v1::LoadVariantResponse loaded;
  EXPECT_EQ(admin_->LoadVariant(&c3, {}, &loaded).error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(admin_->WatchVariants(&c4, {})->Finish().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(inference_->GenerateStream(&c5, StreamRequest())->Finish().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(inference_->Compare(&c6, {})->Finish().error_code(), StatusCode::UNAUTHENTICATED);
  v1::ScoreResponse scored;
  EXPECT_EQ(inference_->Score(&c7, {}, &scored).error_code(), StatusCode::UNAUTHENTICATED);
}

TEST_F(PlatformTest, ShutdownFinishesWhatRuns) {
  Start(Defaults());
  control_.Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread call([&] { status = Generate(Request(), &response); });
  while (control_.submitted() == 0) std::this_thread::yield();
  std::thread shutdown([&] { server_->Shutdown(); });
  while (server_->serving()) std::this_thread::yield();
  control_.Release();
  call.join();
  shutdown.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(PlatformTest, ShutdownEndsWhatIsLeftAtTheDeadline) {
  ServerSettings settings = Defaults();
  settings.drain_timeout_seconds = 0.1;
  Start(settings);
  control_.Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread call([&] { status = Generate(Request(), &response); });
  while (control_.submitted() == 0) std::this_thread::yield();
  server_->Shutdown();
  call.join();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
}

TEST_F(PlatformTest, ATakenPortIsAnError) {
  Start(Defaults());
  ServerSettings settings = Defaults();
  settings.grpc.port = server_->grpc_port();
  FakeControl control;
  FakeLoader loader(&control);
  ServerParts parts;
  parts.loader = &loader;
  parts.telemetry = telemetry_.get();
  parts.clock = Clock::System();
  parts.log = log_.get();
  const auto second = BitrateServer::Start(settings, parts);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  Probe();
}

TEST_F(PlatformTest, BrokenCertificatesAreStartErrors) {
  ServerSettings settings = Defaults();
  settings.tls.cert_file = "/nowhere/cert.pem";
  settings.tls.key_file = "/nowhere/key.pem";
  EXPECT_EQ(TryStart(settings).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace bitrate
