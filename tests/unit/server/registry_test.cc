#include <gtest/gtest.h>

#include <algorithm>

#include "server/api_error.h"
#include "server/variant_registry.h"
#include "tests/unit/server/fake_engine.h"

namespace bitrate {
namespace {

class RegistryTest : public testing::Test {
 protected:
  void Make(std::vector<ModelSettings> models, uint64_t budget = 0) {
    registry_ =
        std::make_unique<VariantRegistry>(std::move(models), "m", &loader_, telemetry_.get(), Clock::System(), nullptr);
    registry_->Watch([this](const VariantSnapshot& variant) {
      MutexLock lock(&mutex_);
      states_.push_back(variant.settings.name + ":" + std::string(VariantStateName(variant.state)));
    });
    open_ = registry_->OpenModels(budget, &summary_);
  }
  void TearDown() override {
    if (registry_ != nullptr) registry_->Shutdown();
    registry_.reset();
    EXPECT_EQ(control_.live(), 0);  // every instance is destroyed, whoever let go of it last
  }
  StatusOr<VariantSnapshot> Wait(const std::function<void(VariantRegistry::ResultFn)>& start) {
    Mutex mutex;
    CondVar done;
    std::optional<StatusOr<VariantSnapshot>> result;
    start([&](StatusOr<VariantSnapshot> got) {
      MutexLock lock(&mutex);
      result = std::move(got);
      done.SignalAll();
    });
    MutexLock lock(&mutex);
    while (!result) done.Wait(&mutex);
    return *result;
  }
  StatusOr<VariantSnapshot> Load(const std::string& variant, std::optional<VariantSettings> settings = std::nullopt) {
    return Wait([&](auto done) { registry_->Load("m", variant, settings, done); });
  }
  StatusOr<VariantSnapshot> Unload(const std::string& variant, bool drain, Duration timeout = {}) {
    return Wait([&](auto done) { registry_->Unload("m", variant, drain, timeout, done); });
  }
  VariantState StateOf(const std::string& variant) { return registry_->Snapshot("m", variant)->state; }

  FakeControl control_;
  FakeLoader loader_{&control_};
  std::unique_ptr<Telemetry> telemetry_ = MakeNullTelemetry();
  Mutex mutex_;
  std::vector<std::string> states_;
  std::unique_ptr<VariantRegistry> registry_;
  std::string summary_;
  Status open_;
};

TEST_F(RegistryTest, LoadsEveryConfiguredVariantInOrder) {
  Make({FakeModel("m", {"fp32", "int8"})});
  EXPECT_TRUE(open_.ok());
  EXPECT_EQ(registry_->LoadConfigured(), 2);
  EXPECT_EQ(states_, (std::vector<std::string>{"fp32:loading", "fp32:ready", "int8:loading", "int8:ready"}));
  EXPECT_NE(registry_->Acquire("m", "int8"), nullptr);
  EXPECT_EQ(registry_->Acquire("m", "nf4"), nullptr);
}

TEST_F(RegistryTest, OneBrokenVariantLeavesTheOthers) {
  control_.FailLoad("int4", DataLoss("truncated"));
  Make({FakeModel("m", {"fp32", "int4", "int8"})});
  EXPECT_EQ(registry_->LoadConfigured(), 2);
  EXPECT_EQ(StateOf("int4"), VariantState::kFailed);
  EXPECT_EQ(registry_->Snapshot("m", "int4")->error.code(), StatusCode::kDataLoss);
  EXPECT_EQ(StateOf("int8"), VariantState::kReady);
  // Repaired, it loads.
  control_.FailLoad("int4", OkStatus());
  EXPECT_TRUE(Load("int4").ok());
  EXPECT_EQ(StateOf("int4"), VariantState::kReady);
}

TEST_F(RegistryTest, MemoryBudgetIsCheckedAtStartWithTheSum) {
  Make({FakeModel("m", {"a", "b", "c"})}, /*budget=*/449);
  EXPECT_EQ(open_.code(), StatusCode::kResourceExhausted);  // 3 x 150
  EXPECT_NE(open_.message().find("together"), absl::string_view::npos);
}

TEST_F(RegistryTest, MemoryBudgetBoundsLoadsAtRunTime) {
  Make({FakeModel("m", {"int8", "int4"})}, /*budget=*/300);
  ASSERT_EQ(registry_->LoadConfigured(), 2);
  EXPECT_EQ(Load("fp32").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(registry_->Snapshots("m").size(), 2u);  // a refused load leaves no trace
  ASSERT_TRUE(Unload("int4", false).ok());
  EXPECT_TRUE(Load("fp32").ok());
}

TEST_F(RegistryTest, AModelThatDoesNotOpenFailsItsVariantsOnly) {
  control_.FailOpen(InvalidArgument("not a checkpoint"));
  Make({FakeModel("m", {"int8"})});
  EXPECT_EQ(open_.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StateOf("int8"), VariantState::kFailed);
  EXPECT_EQ(registry_->LoadConfigured(), 0);
}

TEST_F(RegistryTest, LoadingTwiceAndUnknownNames) {
  Make({FakeModel("m", {"int8"})});
  registry_->LoadConfigured();
  EXPECT_EQ(Load("int8").status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Load("int77").status().code(), StatusCode::kInvalidArgument);  // no precision of this name
  EXPECT_EQ(Unload("nf4", false).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Wait([&](auto done) { registry_->Load("other", "int8", std::nullopt, done); }).status().code(),
            StatusCode::kNotFound);
}

TEST_F(RegistryTest, UnloadIsRefusedWhileRequestsRun) {
  Make({FakeModel("m", {"int8"})});
  registry_->LoadConfigured();
  auto held = registry_->Acquire("m", "int8");
  held->counter->Accept();
  const auto refused = Unload("int8", false);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetDetail(refused.status()).precondition_type, "REQUESTS_RUNNING");
  EXPECT_EQ(StateOf("int8"), VariantState::kReady);
  held->counter->Finish(Outcome::kOk);
  EXPECT_TRUE(Unload("int8", false).ok());
  EXPECT_EQ(StateOf("int8"), VariantState::kUnloaded);
  EXPECT_EQ(control_.live(), 1);  // `held` still has it
}

TEST_F(RegistryTest, UnloadedVariantComesBackWithItsCounts) {
  Make({FakeModel("m", {"int8"})});
  registry_->LoadConfigured();
  registry_->Acquire("m", "int8")->counter->Accept();
  registry_->Acquire("m", "int8")->counter->Finish(Outcome::kCancelled);
  ASSERT_TRUE(Unload("int8", true).ok());
  ASSERT_TRUE(Load("int8").ok());
  const VariantCounts counts = registry_->Snapshot("m", "int8")->counts;
  EXPECT_EQ(counts.accepted, 1);
  EXPECT_EQ(counts.cancelled, 1);
  EXPECT_EQ(counts.in_flight(), 0);
}

TEST_F(RegistryTest, AnEngineThatFailsShowsAsFailed) {
  Make({FakeModel("m", {"int8"})});
  registry_->LoadConfigured();
  control_.Break();
  EXPECT_EQ(registry_->Acquire("m", "int8"), nullptr);  // at once
  registry_->Poll(std::chrono::seconds(1));
  EXPECT_EQ(StateOf("int8"), VariantState::kFailed);
  EXPECT_FALSE(registry_->AnyReady());
}

TEST_F(RegistryTest, SelectorsResolve) {
  Make({FakeModel("m", {"int8"}), FakeModel("n", {"int8"})});
  EXPECT_EQ(*registry_->ResolveModel(""), "m");
  EXPECT_EQ(*registry_->ResolveModel("n"), "n");
  EXPECT_EQ(registry_->ResolveModel("x").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace bitrate
