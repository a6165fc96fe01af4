#include "server/metrics/variant_metrics.h"

#include <fmt/core.h>

#include "server/metrics/buckets.h"

namespace bitrate {
namespace {

// Service level objectives of interactive chat (reference performance 4.3): the counters divide to a share of good.
constexpr double kTtftObjectiveSeconds = 0.2;
constexpr double kItlObjectiveSeconds = 0.05;
constexpr VariantState kStates[] = {VariantState::kLoading, VariantState::kReady, VariantState::kDraining,
                                    VariantState::kFailed, VariantState::kUnloaded};
constexpr const char* kPhaseNames[] = {"prefill", "decode", "mixed"};

prometheus::Labels BaseLabels(const VariantLabels& labels) {
  return {{"model_name", labels.model}, {"variant", labels.variant}, {"precision", labels.precision}};
}

prometheus::Labels Merge(prometheus::Labels base, const prometheus::Labels& extra) {
  base.insert(extra.begin(), extra.end());
  return base;
}

}  // namespace

VariantMetrics::VariantMetrics(MetricFamilies& f, const VariantLabels& labels, const Prices& prices)
    : families_(f),
      base_(BaseLabels(labels)),
      prices_(prices),
      running_(f.requests_running.Add(base_)),
      waiting_(f.requests_waiting.Add(base_)),
      kv_usage_(f.kv_usage_ratio.Add(base_)),
      blocks_free_(f.kv_blocks.Add(With({{"state", "free"}}))),
      blocks_used_(f.kv_blocks.Add(With({{"state", "used"}}))),
      blocks_cached_(f.kv_blocks.Add(With({{"state", "cached"}}))),
      weights_bytes_(f.resident_bytes.Add(With({{"kind", "weights"}}))),
      mapped_bytes_(f.resident_bytes.Add(With({{"kind", "weights_mapped"}}))),
      kv_bytes_(f.resident_bytes.Add(With({{"kind", "kv"}}))),
      scratch_bytes_(f.resident_bytes.Add(With({{"kind", "scratch"}}))),
      time_step_(f.step_time_model.Add(With({{"component", "step"}}))),
      time_prefill_token_(f.step_time_model.Add(With({{"component", "prefill_token"}}))),
      time_decode_token_(f.step_time_model.Add(With({{"component", "decode_token"}}))),
      time_attended_token_(f.step_time_model.Add(With({{"component", "attended_token"}}))),
      prompt_computed_(f.prompt_tokens.Add(With({{"source", "computed"}}))),
      prompt_cached_(f.prompt_tokens.Add(With({{"source", "cached"}}))),
      generated_(f.generation_tokens.Add(base_)),
      preemptions_(f.preemptions.Add(base_)),
      seconds_prefill_(f.device_seconds.Add(With({{"phase", "prefill"}, {"work", "request"}}))),
      seconds_decode_(f.device_seconds.Add(With({{"phase", "decode"}, {"work", "request"}}))),
      // Recomputed prefill and warm-up; shadow work gets its own series when there is any.
      seconds_wasted_(f.device_seconds.Add(With({{"phase", "prefill"}, {"work", "wasted"}}))),
      ttft_(f.ttft.Add(base_, buckets::TimeToFirstToken())),
      inter_token_(f.inter_token.Add(base_, buckets::InterToken())),
      duration_(f.duration.Add(base_, buckets::RequestDuration())),
      queue_(f.queue.Add(base_, buckets::RequestDuration())),
      prefill_(f.prefill.Add(base_, buckets::RequestDuration())),
      decode_(f.decode.Add(base_, buckets::RequestDuration())),
      prompt_lengths_(f.prompt_lengths.Add(base_, buckets::Tokens())),
      generation_lengths_(f.generation_lengths.Add(base_, buckets::Tokens())),
      batch_size_(f.batch_size.Add(base_, buckets::BatchSize())),
      ttft_good_(f.slo_good.Add(With({{"slo", "ttft_200ms"}}))),
      ttft_events_(f.slo_events.Add(With({{"slo", "ttft_200ms"}}))),
      itl_good_(f.slo_good.Add(With({{"slo", "itl_50ms"}}))),
      itl_events_(f.slo_events.Add(With({{"slo", "itl_50ms"}}))) {
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i] = &f.variant_state.Add(With({{"state", std::string(VariantStateName(kStates[i]))}}));
  }
  for (int phase = 0; phase < kNumPhases; ++phase) {
    const prometheus::Labels with_phase = With({{"phase", kPhaseNames[phase]}});
    steps_[phase] = &f.steps.Add(with_phase);
    step_seconds_[phase] = &f.step_seconds.Add(with_phase, buckets::StepSeconds());
  }
  if (prices_.currency.empty()) return;
  cost_compute_ = &f.cost.Add(With({{"currency", prices_.currency}, {"component", "compute"}}));
  cost_wasted_ = &f.cost.Add(With({{"currency", prices_.currency}, {"component", "wasted"}}));
  cost_memory_ = &f.cost.Add(With({{"currency", prices_.currency}, {"component", "memory"}}));
}

prometheus::Labels VariantMetrics::With(const prometheus::Labels& extra) const { return Merge(base_, extra); }

void VariantMetrics::OnStep(const StepStats& stats) {
  const Phase phase = stats.prefill_tokens == 0 ? kDecode : (stats.decode_tokens == 0 ? kPrefill : kMixed);
  steps_[phase]->Increment();
  step_seconds_[phase]->Observe(stats.step_seconds);
  if (stats.num_sequences > 0) batch_size_.Observe(stats.num_sequences);
  time_step_.Set(stats.time.step);
  time_prefill_token_.Set(stats.time.prefill_token);
  time_decode_token_.Set(stats.time.decode_token);
  time_attended_token_.Set(stats.time.attended_token);
  seconds_prefill_.Increment(stats.charged_prefill);
  seconds_decode_.Increment(stats.charged_decode);
  seconds_wasted_.Increment(stats.wasted);
  if (cost_compute_ == nullptr) return;
  cost_compute_->Increment(MarginalCost(prices_, stats.charged_prefill + stats.charged_decode));
  cost_wasted_->Increment(MarginalCost(prices_, stats.wasted));
}

void VariantMetrics::OnGauges(const InstanceGauges& gauges) {
  running_.Set(gauges.running);
  waiting_.Set(gauges.waiting);
  const auto total = static_cast<double>(gauges.kv_blocks_total);
  kv_usage_.Set(total > 0 ? static_cast<double>(gauges.kv_blocks_used) / total : 0);
  blocks_used_.Set(static_cast<double>(gauges.kv_blocks_used));
  blocks_cached_.Set(static_cast<double>(gauges.kv_blocks_cached));
  blocks_free_.Set(static_cast<double>(gauges.kv_blocks_total - gauges.kv_blocks_used - gauges.kv_blocks_cached));
  MutexLock lock(&mutex_);
  gauges_ = gauges;
}

void VariantMetrics::OnPreemption() { preemptions_.Increment(); }

void VariantMetrics::OnPromptTokens(int computed, int cached) {
  prompt_computed_.Increment(computed);
  prompt_cached_.Increment(cached);
}

void VariantMetrics::OnSequenceFinished(const SequenceRecord& record) {
  generated_.Increment(record.usage.completion_tokens);
}

void VariantMetrics::ObserveLatencies(const RequestReport& report) {
  if (report.ttft_seconds >= 0) {
    ttft_.Observe(report.ttft_seconds);
    ttft_events_.Increment();
    if (report.ttft_seconds <= kTtftObjectiveSeconds) ttft_good_.Increment();
  }
  if (report.inter_token_seconds == nullptr) return;
  int good = 0;
  for (float gap : *report.inter_token_seconds) {
    inter_token_.Observe(gap);
    good += gap <= kItlObjectiveSeconds;
  }
  itl_events_.Increment(static_cast<double>(report.inter_token_seconds->size()));
  itl_good_.Increment(good);
}

prometheus::Counter& VariantMetrics::RequestCounter(const RequestReport& report) {
  const auto key =
      std::make_tuple(std::string(report.api), std::string(OutcomeName(report.outcome)), std::string(report.code));
  MutexLock lock(&mutex_);
  prometheus::Counter*& counter = requests_[key];
  if (counter == nullptr) {
    counter = &families_.requests.Add(
        With({{"api", std::get<0>(key)}, {"outcome", std::get<1>(key)}, {"code", std::get<2>(key)}}));
  }
  return *counter;
}

void VariantMetrics::OnRequestFinished(const RequestReport& report) {
  RequestCounter(report).Increment();
  ObserveLatencies(report);
  duration_.Observe(report.total_seconds);
  // A request that was refused at the door has no phases.
  if (report.outcome == Outcome::kRejected) return;
  queue_.Observe(report.queue_seconds);
  if (report.ttft_seconds >= 0) {
    prefill_.Observe(report.prefill_seconds);
    decode_.Observe(report.decode_seconds);
  }
  prompt_lengths_.Observe(report.prompt_tokens);
  generation_lengths_.Observe(report.completion_tokens);
}

void VariantMetrics::OnRoutingDecision(std::string_view experiment, std::string_view arm, RouteReason reason) {
  const auto key = std::make_tuple(std::string(experiment), std::string(arm), reason);
  prometheus::Counter* counter = nullptr;
  {
    MutexLock lock(&mutex_);
    prometheus::Counter*& slot = routing_[key];
    if (slot == nullptr) {
      slot = &families_.routing.Add(With({{"experiment", std::get<0>(key)},
                                          {"arm", std::get<1>(key)},
                                          {"reason", std::string(RouteReasonName(reason))}}));
    }
    counter = slot;
  }
  counter->Increment();
}

void VariantMetrics::OnStateChange(VariantState state) {
  for (size_t i = 0; i < states_.size(); ++i) states_[i]->Set(kStates[i] == state ? 1 : 0);
}

void VariantMetrics::SetResident(double weights, double mapped, double kv, double scratch) {
  weights_bytes_.Set(weights);
  mapped_bytes_.Set(mapped);
  kv_bytes_.Set(kv);
  scratch_bytes_.Set(scratch);
  MutexLock lock(&mutex_);
  resident_bytes_ = weights + mapped + kv + scratch;
}

void VariantMetrics::OnLoaded(const VariantInfo& info) {
  SetResident(static_cast<double>(info.unique_weight_bytes - info.mapped_weight_bytes),
              static_cast<double>(info.mapped_weight_bytes), static_cast<double>(info.kv_bytes),
              static_cast<double>(info.scratch_bytes));
  prometheus::Labels labels = With({{"requested_precision", info.requested_precision},
                                    {"effective_precision", info.precision},
                                    {"activation_precision", info.activation_precision},
                                    {"kv_precision", info.kv_precision},
                                    {"weight_bits", fmt::format("{:.3f}", info.weight_bits)},
                                    {"group_size", fmt::format("{}", info.group_size)},
                                    {"backend", info.backend},
                                    {"kernel", info.kernel},
                                    {"isa", info.isa},
                                    {"digest", info.digest}});
  MutexLock lock(&mutex_);
  if (info_ != nullptr) families_.variant_info.Remove(info_);
  info_ = &families_.variant_info.Add(labels);
  info_->Set(1);
}

void VariantMetrics::OnUnloaded() {
  SetResident(0, 0, 0, 0);
  OnGauges(InstanceGauges{});
  MutexLock lock(&mutex_);
  if (info_ != nullptr) families_.variant_info.Remove(info_);
  info_ = nullptr;
}

InstanceGauges VariantMetrics::gauges() const {
  MutexLock lock(&mutex_);
  return gauges_;
}

void VariantMetrics::AccrueMemoryCost(double seconds) {
  if (cost_memory_ == nullptr) return;
  double resident = 0;
  {
    MutexLock lock(&mutex_);
    resident = resident_bytes_;
  }
  cost_memory_->Increment(MemoryCost(prices_, static_cast<uint64_t>(resident), seconds, 1.0));
}

}  // namespace bitrate
