// The handle of one variant: its series, resolved once. Internal to server/metrics.
#ifndef BITRATE_SERVER_METRICS_VARIANT_METRICS_H_
#define BITRATE_SERVER_METRICS_VARIANT_METRICS_H_

#include <array>
#include <map>
#include <string>
#include <tuple>

#include "engine/base/clock.h"
#include "engine/base/mutex.h"
#include "server/cost.h"
#include "server/metrics/families.h"
#include "server/telemetry.h"

namespace bitrate {

class VariantMetrics final : public VariantTelemetry {
 public:
  VariantMetrics(MetricFamilies& families, const VariantLabels& labels, const Prices& prices);

  void OnStep(const StepStats& stats) override;
  void OnGauges(const InstanceGauges& gauges) override;
  void OnPreemption() override;
  void OnPromptTokens(int computed, int cached) override;
  void OnSequenceFinished(const SequenceRecord& record) override;
  void OnRequestFinished(const RequestReport& report) override;
  void OnRoutingDecision(std::string_view experiment, std::string_view arm, RouteReason reason) override;
  void OnStateChange(VariantState state) override;
  void OnLoaded(const VariantInfo& info) override;
  void OnUnloaded() override;

  // For the pod-level gauges; zero for a variant that is not loaded.
  InstanceGauges gauges() const EXCLUDES(mutex_);
  // Adds the price of the resident memory for `seconds`.
  void AccrueMemoryCost(double seconds) EXCLUDES(mutex_);

 private:
  enum Phase { kPrefill, kDecode, kMixed, kNumPhases };
  prometheus::Labels With(const prometheus::Labels& extra) const;
  void ObserveLatencies(const RequestReport& report);
  prometheus::Counter& RequestCounter(const RequestReport& report) EXCLUDES(mutex_);
  void SetResident(double weights, double mapped, double kv, double scratch);

  MetricFamilies& families_;
  const prometheus::Labels base_;
  const Prices prices_;

  prometheus::Gauge &running_, &waiting_, &kv_usage_;
  prometheus::Gauge &blocks_free_, &blocks_used_, &blocks_cached_;
  prometheus::Gauge &weights_bytes_, &mapped_bytes_, &kv_bytes_, &scratch_bytes_;
  std::array<prometheus::Gauge*, 5> states_;
  prometheus::Gauge &time_step_, &time_prefill_token_, &time_decode_token_, &time_attended_token_;
  prometheus::Counter &prompt_computed_, &prompt_cached_, &generated_, &preemptions_;
  prometheus::Counter &seconds_prefill_, &seconds_decode_, &seconds_wasted_;
  prometheus::Counter *cost_compute_ = nullptr, *cost_wasted_ = nullptr, *cost_memory_ = nullptr;
  std::array<prometheus::Counter*, kNumPhases> steps_;
  std::array<prometheus::Histogram*, kNumPhases> step_seconds_;
  prometheus::Histogram &ttft_, &inter_token_, &duration_, &queue_, &prefill_, &decode_, &prompt_lengths_,
      &generation_lengths_, &batch_size_;
  prometheus::Counter &ttft_good_, &ttft_events_, &itl_good_, &itl_events_;

  mutable Mutex mutex_;
  prometheus::Gauge* info_ GUARDED_BY(mutex_) = nullptr;
  InstanceGauges gauges_ GUARDED_BY(mutex_);
  double resident_bytes_ GUARDED_BY(mutex_) = 0;
  // Label values come from fixed lists and from the configuration, so these stay small.
  std::map<std::tuple<std::string, std::string, std::string>, prometheus::Counter*> requests_ GUARDED_BY(mutex_);
  std::map<std::tuple<std::string, std::string, RouteReason>, prometheus::Counter*> routing_ GUARDED_BY(mutex_);
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_METRICS_VARIANT_METRICS_H_
