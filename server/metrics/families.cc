#include "server/metrics/families.h"

namespace bitrate {
namespace {

MetricFamilies::Gauges Gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
MetricFamilies::Counters Counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
MetricFamilies::Histograms Histogram(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

MetricFamilies::MetricFamilies(prometheus::Registry& r)
    : requests_running(Gauge(r, "bitrate_requests_running", "Sequences in the running batch.")),
      requests_waiting(Gauge(r, "bitrate_requests_waiting", "Sequences waiting to be scheduled.")),
      kv_usage_ratio(Gauge(r, "bitrate_kv_cache_usage_ratio", "KV blocks referenced by sequences over all blocks.")),
      kv_blocks(Gauge(r, "bitrate_kv_cache_blocks", "KV blocks by state.")),
      variant_state(Gauge(r, "bitrate_variant_state", "1 for the state the variant is in, 0 for the others.")),
      resident_bytes(Gauge(r, "bitrate_variant_resident_bytes", "Memory the variant keeps resident.")),
      variant_info(Gauge(r, "bitrate_variant_info", "What serves: precision, kernel and instruction set in use.")),
      build_info(Gauge(r, "bitrate_build_info", "Version of the server.")),
      pod_running(Gauge(r, "bitrate_pod_requests_running", "Running sequences over all variants.")),
      pod_waiting(Gauge(r, "bitrate_pod_requests_waiting", "Waiting sequences over all variants.")),
      pod_kv_usage_ratio(Gauge(r, "bitrate_pod_kv_cache_usage_ratio", "KV blocks in use over all variants.")),
      step_time_model(Gauge(r, "bitrate_step_time_model_seconds",
                            "Learned time of a step: fixed, and for each prefill token, decode token, attended key.")),
      adapter_bytes(Gauge(r, "bitrate_adapter_resident_bytes", "Memory of a loaded LoRA adapter.")),
      requests(Counter(r, "bitrate_requests_total", "Finished requests by outcome.")),
      prompt_tokens(
          Counter(r, "bitrate_prompt_tokens_total", "Prompt tokens, computed or served by the prefix cache.")),
      generation_tokens(Counter(r, "bitrate_generation_tokens_total", "Tokens generated for requests.")),
      preemptions(Counter(r, "bitrate_preemptions_total", "Sequences preempted for KV blocks and recomputed later.")),
      steps(Counter(r, "bitrate_engine_steps_total", "Engine steps by what they computed.")),
      routing(Counter(r, "bitrate_routing_decisions_total", "Routing decisions by experiment, arm and reason.")),
      slo_good(Counter(r, "bitrate_slo_good_total", "Events that met the service level objective.")),
      slo_events(Counter(r, "bitrate_slo_events_total", "Events that the service level objective counts.")),
      device_seconds(Counter(r, "bitrate_device_seconds_total",
                             "Device time (lease wall time x workers) by phase and by who it was for.")),
      cost(Counter(r, "bitrate_cost_total", "Cost at the configured prices, in the labelled currency.")),
      grpc_handled(Counter(r, "grpc_server_handled_total", "RPCs completed on the server, by status code.")),
      adapter_requests(Counter(r, "bitrate_adapter_requests_total", "Finished requests of a loaded LoRA adapter.")),
      adapter_tokens(
          Counter(r, "bitrate_adapter_generation_tokens_total", "Tokens generated with a loaded LoRA adapter.")),
      ttft(Histogram(r, "bitrate_time_to_first_token_seconds", "Arrival to first token.")),
      inter_token(Histogram(r, "bitrate_inter_token_latency_seconds", "Gap between streamed tokens of a choice.")),
      duration(Histogram(r, "bitrate_request_duration_seconds", "Arrival to the end of a request.")),
      queue(Histogram(r, "bitrate_request_queue_seconds", "Submission to first scheduled.")),
      prefill(Histogram(r, "bitrate_request_prefill_seconds", "First scheduled to first token.")),
      decode(Histogram(r, "bitrate_request_decode_seconds", "First token to last token.")),
      prompt_lengths(Histogram(r, "bitrate_request_prompt_tokens", "Prompt tokens of a request.")),
      generation_lengths(Histogram(r, "bitrate_request_generation_tokens", "Generated tokens of a request.")),
      step_seconds(Histogram(r, "bitrate_engine_step_seconds", "Wall time of an engine step.")),
      batch_size(Histogram(r, "bitrate_batch_size", "Sequences in an engine step.")),
      grpc_seconds(Histogram(r, "grpc_server_handling_seconds", "Time an RPC took on the server.")) {}

}  // namespace bitrate
