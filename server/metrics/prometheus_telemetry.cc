#include "server/metrics/prometheus_telemetry.h"

#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <tuple>

#include "engine/base/mutex.h"
#include "server/metrics/buckets.h"
#include "server/metrics/variant_metrics.h"

namespace bitrate {
namespace {

class Exporter final : public PrometheusTelemetry {
 public:
  Exporter(const BuildLabels& build, const Prices& prices, const Clock* clock)
      : families_(registry_), prices_(prices), clock_(clock), last_accrual_(clock->Now()) {
    families_.build_info.Add({{"version", build.version}, {"revision", build.revision}}).Set(1);
    pod_running_ = &families_.pod_running.Add({});
    pod_waiting_ = &families_.pod_waiting.Add({});
    pod_kv_usage_ = &families_.pod_kv_usage_ratio.Add({});
  }

  VariantTelemetry* ForVariant(const VariantLabels& labels) override {
    MutexLock lock(&mutex_);
    auto& handle = variants_[{labels.model, labels.variant}];
    if (handle == nullptr) handle = std::make_unique<VariantMetrics>(families_, labels, prices_);
    return handle.get();
  }

  void OnUnroutedRequest(const RequestReport& report) override {
    // No label of the client's choosing: an unknown model is "_other".
    families_.requests
        .Add({{"model_name", "_other"},
              {"variant", ""},
              {"precision", ""},
              {"api", std::string(report.api)},
              {"outcome", std::string(OutcomeName(report.outcome))},
              {"code", std::string(report.code)}})
        .Increment();
  }

  void OnRpcFinished(std::string_view service, std::string_view method, std::string_view code,
                     double seconds) override {
    const std::string s(service), m(method), c(code);
    families_.grpc_handled.Add({{"grpc_service", s}, {"grpc_method", m}, {"grpc_code", c}}).Increment();
    families_.grpc_seconds.Add({{"grpc_service", s}, {"grpc_method", m}}, buckets::RequestDuration()).Observe(seconds);
  }

  void OnAdapterLoaded(std::string_view model, std::string_view adapter, uint64_t bytes) override {
    MutexLock lock(&mutex_);
    AdapterSeries& series = adapters_[{std::string(model), std::string(adapter)}];
    const prometheus::Labels labels = {{"model_name", std::string(model)}, {"adapter", std::string(adapter)}};
    series.bytes = &families_.adapter_bytes.Add(labels);
    series.bytes->Set(static_cast<double>(bytes));
    series.tokens = &families_.adapter_tokens.Add(labels);
    for (size_t i = 0; i < kOutcomes.size(); ++i) {
      prometheus::Labels with = labels;
      with.emplace("outcome", OutcomeName(kOutcomes[i]));
      series.requests[i] = &families_.adapter_requests.Add(with);
    }
  }

  // The series go with the adapter, so that names that come and go do not add up.
  void OnAdapterUnloaded(std::string_view model, std::string_view adapter) override {
    MutexLock lock(&mutex_);
    const auto it = adapters_.find({std::string(model), std::string(adapter)});
    if (it == adapters_.end()) return;
    families_.adapter_bytes.Remove(it->second.bytes);
    families_.adapter_tokens.Remove(it->second.tokens);
    for (prometheus::Counter* counter : it->second.requests) families_.adapter_requests.Remove(counter);
    adapters_.erase(it);
  }

  void OnAdapterRequest(std::string_view model, std::string_view adapter, const RequestReport& report) override {
    MutexLock lock(&mutex_);
    const auto it = adapters_.find({std::string(model), std::string(adapter)});
    if (it == adapters_.end()) return;  // unloaded while the request ran
    it->second.tokens->Increment(report.completion_tokens);
    for (size_t i = 0; i < kOutcomes.size(); ++i) {
      if (kOutcomes[i] == report.outcome) it->second.requests[i]->Increment();
    }
  }

  std::string Scrape() override {
    Refresh();
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

 private:
  void Refresh() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    const TimePoint now = clock_->Now();
    const double seconds = ToSeconds(now - last_accrual_);
    last_accrual_ = now;
    int running = 0, waiting = 0;
    double total = 0, used = 0;
    for (auto& [name, variant] : variants_) {
      variant->AccrueMemoryCost(seconds);
      const InstanceGauges gauges = variant->gauges();
      running += gauges.running;
      waiting += gauges.waiting;
      total += static_cast<double>(gauges.kv_blocks_total);
      used += static_cast<double>(gauges.kv_blocks_used);
    }
    pod_running_->Set(running);
    pod_waiting_->Set(waiting);
    pod_kv_usage_->Set(total > 0 ? used / total : 0);
  }

  static constexpr std::array kOutcomes = {Outcome::kOk, Outcome::kCancelled, Outcome::kDeadline, Outcome::kRejected,
                                           Outcome::kError};
  struct AdapterSeries {
    prometheus::Gauge* bytes = nullptr;
    prometheus::Counter* tokens = nullptr;
    std::array<prometheus::Counter*, kOutcomes.size()> requests = {};  // beside kOutcomes
  };

  prometheus::Registry registry_;
  MetricFamilies families_;
  const Prices prices_;
  const Clock* const clock_;
  prometheus::Gauge* pod_running_ = nullptr;
  prometheus::Gauge* pod_waiting_ = nullptr;
  prometheus::Gauge* pod_kv_usage_ = nullptr;
  Mutex mutex_;
  TimePoint last_accrual_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, std::unique_ptr<VariantMetrics>> variants_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, AdapterSeries> adapters_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<PrometheusTelemetry> MakePrometheusTelemetry(const BuildLabels& build, const Prices& prices,
                                                             const Clock* clock) {
  return std::make_unique<Exporter>(build, prices, clock);
}

}  // namespace bitrate
