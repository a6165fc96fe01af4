// How measurements reach the exporter (server/metrics): plain calls on handles that are resolved once per variant, when
// it loads, so that nothing is looked up per token or per step. The server runs without an exporter on NullTelemetry.
//
// Thread rule: every method is thread-safe, cheap and does not block; InstanceObserver's are called on the engine
// thread, the others on any. Handles live as long as the Telemetry that made them, also after an unload (counters of a
// variant that comes back go on).
// Label rule: only names from the configuration reach a label; nothing that a client chose.
#ifndef BITRATE_SERVER_TELEMETRY_H_
#define BITRATE_SERVER_TELEMETRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runtime/observer.h"

namespace bitrate {

// How a request ended, as in `bitrate_requests_total{outcome}`.
enum class Outcome : uint8_t { kOk, kCancelled, kDeadline, kRejected, kError };
std::string_view OutcomeName(Outcome outcome);  // "ok", "cancelled", "deadline", "rejected", "error"

enum class VariantState : uint8_t { kLoading, kReady, kDraining, kFailed, kUnloaded };
std::string_view VariantStateName(VariantState state);  // "loading", "ready", ...

enum class RouteReason : uint8_t { kWeight, kPin, kSticky, kFallback, kDefault };
std::string_view RouteReasonName(RouteReason reason);  // "weight", "pin", "sticky", "fallback", "default"

// What names a variant in metrics: the labels model_name, variant, precision.
struct VariantLabels {
  std::string model;
  std::string variant;
  std::string precision;  // as requested in the configuration
};

// For `bitrate_variant_info` and `bitrate_variant_resident_bytes`, known once a variant has loaded.
struct VariantInfo {
  std::string requested_precision;
  std::string precision;  // effective
  std::string activation_precision;
  std::string kv_precision;
  std::string backend;
  std::string kernel;
  std::string isa;
  std::string digest;
  double weight_bits = 0;
  int group_size = 0;
  uint64_t weight_bytes = 0;
  uint64_t unique_weight_bytes = 0;
  uint64_t mapped_weight_bytes = 0;  // of the unique ones: pages of files, apart from private memory
  uint64_t kv_bytes = 0;
  uint64_t scratch_bytes = 0;
  double load_seconds = 0;
};

// One finished request (all its choices), reported once, whatever happened after routing.
struct RequestReport {
  std::string_view api;     // the door: "grpc", later "openai", "kserve"; a literal
  std::string_view method;  // "Generate", "GenerateStream", "Score", "Compare"; a literal
  Outcome outcome = Outcome::kOk;
  std::string_view code;  // gRPC code name, "OK", "INVALID_ARGUMENT"; a literal
  int prompt_tokens = 0;
  int completion_tokens = 0;  // over all choices
  double ttft_seconds = -1;   // arrival (before tokenization) to first token; < 0: no token
  double total_seconds = 0;
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  double device_seconds = 0;                                // charged to this request, whatever its outcome
  double cost = 0;                                          // marginal, in the currency of the prices; 0 without prices
  const std::vector<float>* inter_token_seconds = nullptr;  // one per streamed token after the first; may be null
};

// The handle of one variant; also the observer of its instance.
class VariantTelemetry : public InstanceObserver {
 public:
  virtual void OnRequestFinished(const RequestReport& report) = 0;
  // A request was routed here; experiment and arm are names of the routing policy or empty.
  virtual void OnRoutingDecision(std::string_view experiment, std::string_view arm, RouteReason reason) = 0;
  virtual void OnStateChange(VariantState state) = 0;
  virtual void OnLoaded(const VariantInfo& info) = 0;  // resident bytes now; replaces what was said before
  virtual void OnUnloaded() = 0;                       // resident bytes fall to zero
};

class Telemetry {
 public:
  virtual ~Telemetry() = default;
  // The handle of this variant, the same one each time for equal model and variant. Never null.
  virtual VariantTelemetry* ForVariant(const VariantLabels& labels) = 0;
  // A request that ended before any variant was chosen (bad input, unknown model, no credentials).
  virtual void OnUnroutedRequest(const RequestReport& report) = 0;
  // An adapter of the server's: resident bytes, and what finished requests used, until it is unloaded. Its name is the
  // operator's choice; requests for other names are not counted.
  virtual void OnAdapterLoaded(std::string_view model, std::string_view adapter, uint64_t bytes) {}
  virtual void OnAdapterUnloaded(std::string_view model, std::string_view adapter) {}
  virtual void OnAdapterRequest(std::string_view model, std::string_view adapter, const RequestReport& report) {}
  // A call of any service ended, for grpc_server_handled_total; service and method are names of the API.
  virtual void OnRpcFinished(std::string_view service, std::string_view method, std::string_view code,
                             double seconds) = 0;
};

// Counts nothing.
std::unique_ptr<Telemetry> MakeNullTelemetry();

}  // namespace bitrate

#endif  // BITRATE_SERVER_TELEMETRY_H_
