// The exporter against what its users rely on: names and labels of the published list, exact counts, one bucket list
// for all variants, and Prometheus' own linter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "server/metrics/prometheus_telemetry.h"

namespace bitrate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now{std::chrono::seconds(1000)};
};

constexpr char kInt4[] = "{model_name=\"m\",precision=\"int4\",variant=\"fast\"";

class MetricsTest : public testing::Test {
 protected:
  ManualClock clock_;
  Prices prices_{.currency = "USD", .core_hour = 3.6, .gib_hour = 7.2, .pricing_version = "1"};
  std::unique_ptr<PrometheusTelemetry> telemetry_ = MakePrometheusTelemetry({"1.2.3", "abc"}, prices_, &clock_);
  VariantTelemetry* variant_ = telemetry_->ForVariant({"m", "fast", "int4"});
};

TEST_F(MetricsTest, SameVariantSameHandle) {
  EXPECT_EQ(telemetry_->ForVariant({"m", "fast", "int4"}), variant_);
  EXPECT_NE(telemetry_->ForVariant({"m", "slow", "fp32"}), variant_);
}

TEST_F(MetricsTest, StepsBecomeDeviceSecondsAndCost) {
  variant_->OnStep({.step_seconds = 0.5,
                    .device_seconds = 1.0,
                    .charged_prefill = 0.25,
                    .charged_decode = 0.5,
                    .wasted = 0.25,
                    .num_sequences = 3,
                    .prefill_tokens = 8,
                    .decode_tokens = 2});
  const std::string text = telemetry_->Scrape();
  const std::string base = std::string("bitrate_device_seconds_total") + "{model_name=\"m\",";
  EXPECT_THAT(text, HasSubstr(base + "phase=\"prefill\",precision=\"int4\",variant=\"fast\",work=\"request\"} 0.25\n"));
  EXPECT_THAT(text, HasSubstr(base + "phase=\"decode\",precision=\"int4\",variant=\"fast\",work=\"request\"} 0.5\n"));
  EXPECT_THAT(text, HasSubstr(base + "phase=\"prefill\",precision=\"int4\",variant=\"fast\",work=\"wasted\"} 0.25\n"));
  // 3.6 USD an hour is 0.001 USD a device-second.
  EXPECT_THAT(text, HasSubstr("bitrate_cost_total{component=\"compute\",currency=\"USD\",model_name=\"m\","
                              "precision=\"int4\",variant=\"fast\"} 0.00075\n"));
  EXPECT_THAT(text, HasSubstr("bitrate_engine_steps_total{model_name=\"m\",phase=\"mixed\",precision=\"int4\","
                              "variant=\"fast\"} 1\n"));
}

TEST_F(MetricsTest, TheStepTimeModelIsShownByComponent) {
  variant_->OnStep({.time = {.step = 0.5, .prefill_token = 0.25, .decode_token = 0.125, .attended_token = 0.0625}});
  const std::string text = telemetry_->Scrape();
  const auto line = [](const char* component, const char* value) {
    return std::string("bitrate_step_time_model_seconds{component=\"") + component +
           "\",model_name=\"m\",precision=\"int4\",variant=\"fast\"} " + value + "\n";
  };
  EXPECT_THAT(text, HasSubstr(line("step", "0.5")));
  EXPECT_THAT(text, HasSubstr(line("prefill_token", "0.25")));
  EXPECT_THAT(text, HasSubstr(line("decode_token", "0.125")));
  EXPECT_THAT(text, HasSubstr(line("attended_token", "0.0625")));
}

TEST_F(MetricsTest, MemoryCostAccruesWithTime) {
  variant_->OnLoaded({.unique_weight_bytes = 1u << 30, .kv_bytes = 1u << 30});
  clock_.now += std::chrono::seconds(1800);
  // 2 GiB x 0.5 h x 7.2 USD.
  EXPECT_THAT(telemetry_->Scrape(), HasSubstr("bitrate_cost_total{component=\"memory\",currency=\"USD\","
                                              "model_name=\"m\",precision=\"int4\",variant=\"fast\"} 7.2"));
}

TEST_F(MetricsTest, RequestsByOutcomeAndLatencies) {
  const std::vector<float> gaps = {0.04f, 0.06f};
  variant_->OnRequestFinished({.api = "grpc",
                               .method = "GenerateStream",
                               .outcome = Outcome::kOk,
                               .code = "OK",
                               .prompt_tokens = 5,
                               .completion_tokens = 3,
                               .ttft_seconds = 0.15,
                               .total_seconds = 0.25,
                               .inter_token_seconds = &gaps});
  variant_->OnRequestFinished({.api = "grpc",
                               .method = "Generate",
                               .outcome = Outcome::kRejected,
                               .code = "RESOURCE_EXHAUSTED",
                               .total_seconds = 0.001});
  const std::string text = telemetry_->Scrape();
  EXPECT_THAT(text, HasSubstr("bitrate_requests_total{api=\"grpc\",code=\"OK\",model_name=\"m\",outcome=\"ok\","));
  EXPECT_THAT(text, HasSubstr("code=\"RESOURCE_EXHAUSTED\",model_name=\"m\",outcome=\"rejected\","));
  EXPECT_THAT(text, HasSubstr(std::string("bitrate_time_to_first_token_seconds_count") + kInt4 + "} 1\n"));
  EXPECT_THAT(text, HasSubstr(std::string("bitrate_inter_token_latency_seconds_count") + kInt4 + "} 2\n"));
  EXPECT_THAT(text, HasSubstr(std::string("bitrate_request_duration_seconds_count") + kInt4 + "} 2\n"));
  // One of two gaps is within 50 ms.
  EXPECT_THAT(text, HasSubstr("bitrate_slo_good_total{model_name=\"m\",precision=\"int4\",slo=\"itl_50ms\","
                              "variant=\"fast\"} 1\n"));
}

TEST_F(MetricsTest, AdaptersHaveSeriesWhileTheyAreLoaded) {
  telemetry_->OnAdapterRequest("m", "unknown", {.outcome = Outcome::kOk, .completion_tokens = 7});
  EXPECT_EQ(telemetry_->Scrape().find("adapter=\""), std::string::npos);
  telemetry_->OnAdapterLoaded("m", "a", 4096);
  telemetry_->OnAdapterRequest("m", "a", {.outcome = Outcome::kOk, .completion_tokens = 7});
  telemetry_->OnAdapterRequest("m", "a", {.outcome = Outcome::kCancelled, .completion_tokens = 2});
  const std::string text = telemetry_->Scrape();
  EXPECT_THAT(text, HasSubstr("bitrate_adapter_resident_bytes{adapter=\"a\",model_name=\"m\"} 4096\n"));
  EXPECT_THAT(text, HasSubstr("bitrate_adapter_generation_tokens_total{adapter=\"a\",model_name=\"m\"} 9\n"));
  EXPECT_THAT(text,
              HasSubstr("bitrate_adapter_requests_total{adapter=\"a\",model_name=\"m\",outcome=\"cancelled\"} 1\n"));
  telemetry_->OnAdapterUnloaded("m", "a");
  telemetry_->OnAdapterRequest("m", "a", {.outcome = Outcome::kOk, .completion_tokens = 7});
  EXPECT_EQ(telemetry_->Scrape().find("adapter=\""), std::string::npos);
}

TEST_F(MetricsTest, PodGaugesSumVariantsAndCarryNoVariantLabel) {
  VariantTelemetry* other = telemetry_->ForVariant({"m", "slow", "fp32"});
  variant_->OnGauges({.running = 2, .waiting = 1, .kv_blocks_total = 10, .kv_blocks_used = 5, .kv_blocks_cached = 2});
  other->OnGauges({.running = 3, .waiting = 4, .kv_blocks_total = 30, .kv_blocks_used = 5});
  const std::string text = telemetry_->Scrape();
  EXPECT_THAT(text, HasSubstr("\nbitrate_pod_requests_running 5\n"));
  EXPECT_THAT(text, HasSubstr("\nbitrate_pod_requests_waiting 5\n"));
  EXPECT_THAT(text, HasSubstr("\nbitrate_pod_kv_cache_usage_ratio 0.25\n"));
  EXPECT_THAT(text, HasSubstr("bitrate_kv_cache_blocks{model_name=\"m\",precision=\"int4\",state=\"free\","
                              "variant=\"fast\"} 3\n"));
}

TEST_F(MetricsTest, InfoIsReplacedOnReloadAndGoneOnUnload) {
  variant_->OnLoaded({.requested_precision = "int4", .precision = "int4-g32-min", .isa = "avx2", .weight_bits = 5});
  variant_->OnLoaded({.requested_precision = "int4", .precision = "int4-g64-sym", .isa = "avx2", .weight_bits = 4.25});
  std::string text = telemetry_->Scrape();
  EXPECT_THAT(text, HasSubstr("effective_precision=\"int4-g64-sym\""));
  EXPECT_THAT(text, Not(HasSubstr("int4-g32-min")));
  variant_->OnUnloaded();
  text = telemetry_->Scrape();
  EXPECT_THAT(text, Not(HasSubstr("effective_precision")));
}

TEST_F(MetricsTest, UnroutedRequestsShowNoClientChosenName) {
  telemetry_->OnUnroutedRequest(
      {.api = "grpc", .method = "Generate", .outcome = Outcome::kRejected, .code = "NOT_FOUND"});
  EXPECT_THAT(telemetry_->Scrape(), HasSubstr("code=\"NOT_FOUND\",model_name=\"_other\""));
}

TEST_F(MetricsTest, PassesPrometheusLint) {
  variant_->OnLoaded({.requested_precision = "int4", .precision = "int4-g64-sym"});
  variant_->OnStateChange(VariantState::kReady);
  variant_->OnRoutingDecision("exp", "arm", RouteReason::kSticky);
  variant_->OnStep({.step_seconds = 0.1, .num_sequences = 1, .decode_tokens = 1});
  variant_->OnRequestFinished({.api = "grpc", .method = "Generate", .outcome = Outcome::kOk, .code = "OK"});
  telemetry_->OnRpcFinished("bitrate.v1.InferenceService", "Generate", "OK", 0.5);
  const std::string path = testing::TempDir() + "/metrics.txt";
  std::ofstream(path) << telemetry_->Scrape();
  EXPECT_EQ(std::system(("promtool check metrics < " + path).c_str()), 0);
  // The linter can fail: a counter without _total is refused.
  std::ofstream(path) << "# HELP bad A counter.\n# TYPE bad counter\nbad 1\n";
  EXPECT_NE(std::system(("promtool check metrics < " + path + " 2>/dev/null").c_str()), 0);
}

}  // namespace
}  // namespace bitrate
