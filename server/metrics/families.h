// Every metric family of the server, registered once. Internal to server/metrics.
#ifndef BITRATE_SERVER_METRICS_FAMILIES_H_
#define BITRATE_SERVER_METRICS_FAMILIES_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace bitrate {

struct MetricFamilies {
  using Gauges = prometheus::Family<prometheus::Gauge>&;
  using Counters = prometheus::Family<prometheus::Counter>&;
  using Histograms = prometheus::Family<prometheus::Histogram>&;

  explicit MetricFamilies(prometheus::Registry& registry);

  Gauges requests_running, requests_waiting, kv_usage_ratio, kv_blocks, variant_state, resident_bytes, variant_info,
      build_info, pod_running, pod_waiting, pod_kv_usage_ratio, step_time_model, adapter_bytes;
  Counters requests, prompt_tokens, generation_tokens, preemptions, steps, routing, slo_good, slo_events,
      device_seconds, cost, grpc_handled, adapter_requests, adapter_tokens;
  Histograms ttft, inter_token, duration, queue, prefill, decode, prompt_lengths, generation_lengths, step_seconds,
      batch_size, grpc_seconds;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_METRICS_FAMILIES_H_
