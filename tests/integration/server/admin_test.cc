// AdminService over gRPC on the fake engine.
#include <thread>

#include "tests/integration/server/harness.h"

namespace bitrate {
namespace {

using grpc::StatusCode;

class AdminTest : public ServerFixture {
 protected:
  grpc::Status Load(const std::string& variant, v1::LoadVariantResponse* response = nullptr) {
    v1::LoadVariantRequest request;
    v1::LoadVariantResponse ignored;
    request.set_variant(variant);
    grpc::ClientContext context;
    Bound(&context);
    return admin_->LoadVariant(&context, request, response != nullptr ? response : &ignored);
  }
  grpc::Status Unload(const std::string& variant, bool drain) {
    v1::UnloadVariantRequest request;
    v1::UnloadVariantResponse response;
    request.set_variant(variant);
    request.set_drain(drain);
    grpc::ClientContext context;
    Bound(&context);
    return admin_->UnloadVariant(&context, request, &response);
  }
  v1::GetStatsResponse Stats() {
    v1::GetStatsResponse response;
    grpc::ClientContext context;
    Bound(&context);
    EXPECT_TRUE(admin_->GetStats(&context, {}, &response).ok());
    return response;
  }
};

TEST_F(AdminTest, LoadAndUnloadAtRunTime) {
  Start(Defaults());
  v1::LoadVariantResponse loaded;
  ASSERT_TRUE(Load("bf16", &loaded).ok());  // a name that is a precision needs no spec
  EXPECT_EQ(loaded.variant().state(), v1::VARIANT_STATE_READY);
  EXPECT_EQ(Load("bf16").error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Health("bitrate.variant.m.bf16"), grpc::health::v1::HealthCheckResponse::SERVING);
  v1::GenerateRequest request = Request();
  request.mutable_model()->set_variant("bf16");
  v1::GenerateResponse response;
  EXPECT_TRUE(Generate(request, &response).ok());
  ASSERT_TRUE(Unload("bf16", false).ok());
  EXPECT_EQ(Generate(request, &response).error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Health("bitrate.variant.m.bf16"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  Probe();
}

TEST_F(AdminTest, LoadErrors) {
  Start(Defaults());
  EXPECT_EQ(Load("").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Load("a b").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Load("../x").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Load("int77").error_code(), StatusCode::INVALID_ARGUMENT);
  control_.FailLoad("fp16", DataLoss("model.gguf: truncated"));
  const grpc::Status damaged = Load("fp16");
  EXPECT_EQ(damaged.error_code(), StatusCode::DATA_LOSS);
  EXPECT_EQ(damaged.error_message(), "model.gguf: truncated");
  control_.FailLoad("fp16", FailedPrecondition("dynamic NTK rope"));
  EXPECT_EQ(Load("fp16").error_code(), StatusCode::FAILED_PRECONDITION);
  v1::LoadVariantRequest request;
  request.set_model("other");
  request.set_variant("int8");
  grpc::ClientContext context;
  v1::LoadVariantResponse response;
  EXPECT_EQ(admin_->LoadVariant(&context, request, &response).error_code(), StatusCode::NOT_FOUND);
  Probe();  // the other variants are as before
}

TEST_F(AdminTest, OneBrokenVariantLeavesTheOthersServing) {
  control_.FailLoad("int4", DataLoss("broken"));
  Start(Defaults());
  Probe();
  v1::GenerateRequest request = Request();
  request.mutable_model()->set_variant("int4");
  v1::GenerateResponse response;
  const grpc::Status status = Generate(request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(status));
  EXPECT_EQ(Health(""), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(Health("bitrate.variant.m.int4"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
}

TEST_F(AdminTest, NoVariantAtAllIsAStartError) {
  control_.FailLoad("int4", DataLoss("broken"));
  control_.FailLoad("int8", DataLoss("broken too"));
  const Status status = TryStart(Defaults());
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("m:int8"), absl::string_view::npos) << status;
}

TEST_F(AdminTest, UnloadWhileRequestsRun) {
  Start(Defaults());
  control_.Hold();
  v1::GenerateResponse response;
  grpc::Status status;
  std::thread call([&] { status = Generate(Request(), &response); });
  while (control_.submitted() == 0) std::this_thread::yield();
  const grpc::Status refused = Unload("int8", false);
  EXPECT_EQ(refused.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(FindDetail<google::rpc::PreconditionFailure>(refused));
  std::thread drain([&] { EXPECT_TRUE(Unload("int8", true).ok()); });
  while (server_->registry()->IsReady("m", "int8")) std::this_thread::yield();
  control_.Release();
  call.join();
  drain.join();
  EXPECT_TRUE(status.ok()) << status.error_message();  // what ran has finished
}

TEST_F(AdminTest, WatchTellsEveryChange) {
  Start(Defaults());
  grpc::ClientContext context;
  Bound(&context);
  auto reader = admin_->WatchVariants(&context, {});
  v1::WatchVariantsResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.variants_size(), 2);
  ASSERT_TRUE(Unload("int4", false).ok());
  std::vector<int> states;
  while (states.empty() || states.back() != v1::VARIANT_STATE_UNLOADED) {
    ASSERT_TRUE(reader->Read(&event));
    EXPECT_EQ(event.variants(0).name(), "int4");
    states.push_back(event.variants(0).state());
  }
  EXPECT_EQ(states, (std::vector<int>{v1::VARIANT_STATE_DRAINING, v1::VARIANT_STATE_UNLOADED}));
  context.TryCancel();
  while (reader->Read(&event)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
}

TEST_F(AdminTest, RoutingPolicyByEtag) {
  ServerSettings settings = Defaults();
  settings.routing = {{{"m", "exp", "exp", {{"a", "int8", 10000}}, {}}}};
  Start(settings);
  v1::GetRoutingPolicyResponse current;
  grpc::ClientContext c1, c2, c3, c4, c5;
  ASSERT_TRUE(admin_->GetRoutingPolicy(&c1, {}, &current).ok());
  EXPECT_FALSE(current.persistent());
  v1::UpdateRoutingPolicyRequest update;
  v1::UpdateRoutingPolicyResponse updated;
  *update.mutable_policy() = current.policy();
  update.mutable_policy()->mutable_rules(0)->mutable_arms(0)->set_variant("int4");
  update.set_etag(current.etag());
  ASSERT_TRUE(admin_->UpdateRoutingPolicy(&c2, update, &updated).ok());
  v1::GenerateResponse response;
  ASSERT_TRUE(Generate(Request(), &response).ok());
  EXPECT_EQ(response.route().variant(), "int4");
  EXPECT_EQ(response.route().policy_etag(), updated.etag());
  EXPECT_EQ(admin_->UpdateRoutingPolicy(&c3, update, &updated).error_code(), StatusCode::ABORTED);
  update.clear_etag();
  update.mutable_policy()->mutable_rules(0)->mutable_arms(0)->set_weight(1);
  const grpc::Status bad = admin_->UpdateRoutingPolicy(&c4, update, &updated);
  EXPECT_EQ(bad.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FindDetail<google::rpc::BadRequest>(bad)->field_violations(0).field(), "policy.rules[0].arms");
  v1::RestoreRoutingPolicyRequest restore;
  v1::RestoreRoutingPolicyResponse restored;
  restore.set_etag(current.etag());
  ASSERT_TRUE(admin_->RestoreRoutingPolicy(&c5, restore, &restored).ok());
  ASSERT_TRUE(Generate(Request(), &response).ok());
  EXPECT_EQ(response.route().variant(), "int8");
}

TEST_F(AdminTest, StatsAddUp) {
  Start(Defaults());
  Probe();
  v1::GenerateRequest bad = Request();
  bad.mutable_sampling()->set_top_p(7);
  v1::GenerateResponse response;
  EXPECT_FALSE(Generate(bad, &response).ok());
  const v1::GetStatsResponse stats = Stats();
  EXPECT_FALSE(stats.draining());
  EXPECT_GT(stats.process_resident_bytes(), 0u);
  const v1::VariantStats& variant = stats.variants(0);
  EXPECT_EQ(variant.accepted(), 2);
  EXPECT_EQ(variant.completed(), 1);
  EXPECT_EQ(variant.rejected(), 1);
  EXPECT_EQ(variant.leased_seconds(), 1.5);
}

TEST_F(AdminTest, DrainTakesTheServerOutOfService) {
  Start(Defaults());
  control_.Hold();
  v1::GenerateResponse response;
  grpc::Status running;
  std::thread call([&] { running = Generate(Request(), &response); });
  while (control_.submitted() == 0) std::this_thread::yield();
  v1::DrainResponse drained;
  grpc::ClientContext context;
  ASSERT_TRUE(admin_->Drain(&context, {}, &drained).ok());
  EXPECT_EQ(drained.in_flight(), 1);
  EXPECT_EQ(Health(""), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health("bitrate.variant.m.int8"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health("liveness"), grpc::health::v1::HealthCheckResponse::SERVING);
  v1::GenerateResponse refused;
  const grpc::Status status = Generate(Request(), &refused);
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(status)->reason(), "DRAINING");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(status));
  EXPECT_TRUE(Stats().draining());  // still answered
  control_.Release();
  call.join();
  EXPECT_TRUE(running.ok());
}

}  // namespace
}  // namespace bitrate
