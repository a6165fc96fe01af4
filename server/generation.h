// Requests from admission to their one end, independent of the door they came through.
//
// A request runs: admission (caller's thread) -> checks, routing, tokens, Submit (frontend pool) -> events on the
// instance's delivery thread -> OnEnd, exactly once, whatever happens. Its listener is called by one thread at a time.
//
// Thread rule: thread-safe. Listeners must not block.
// Errors, all through OnEnd: those of the API table, with details (server/api_error.h).
#ifndef BITRATE_SERVER_GENERATION_H_
#define BITRATE_SERVER_GENERATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"
#include "engine/sampling/sampler.h"
#include "server/cost.h"
#include "server/generation_request.h"
#include "server/router.h"
#include "server/serving_variant.h"

namespace bitrate {

class RoutingStore;
class VariantRegistry;
class TaskPool;
class RequestLog;

// One position of prompt or output, with the bytes of its tokens.
struct ScoredToken {
  int32_t token_id = 0;
  std::optional<float> logprob;
  int rank = 0;
  std::string bytes;
  std::vector<TokenLogprob> top;
  std::vector<std::string> top_bytes;  // beside `top`
};

// Who serves, decided once.
struct RouteInfo {
  std::string model;
  std::string variant;
  std::string adapter;  // empty = none
  std::string precision;
  RouteDecision decision;
  std::string policy_etag;
};

struct GenerationStarted {
  std::string request_id;
  RouteInfo route;
  int prompt_tokens = 0;
  int cached_tokens = 0;
  uint64_t seed = 0;
};

struct GenerationDelta {
  int index = 0;
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<ScoredToken> logprobs;
  int completion_tokens = 0;
  std::vector<ScoredToken> prompt_logprobs;
};

struct ChoiceFinished {
  int index = 0;
  FinishReason reason = FinishReason::kNone;
  std::string matched_stop;
};

// What a request used, complete at its end.
struct RequestTotals {
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int completion_tokens = 0;
  int num_preemptions = 0;
  double device_seconds = 0;
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  double ttft_seconds = -1;  // < 0: no token
  double total_seconds = 0;
  MoneyAmount marginal;
  std::optional<MoneyAmount> fully_loaded;
};

class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void OnStarted(const GenerationStarted& started) = 0;
  virtual void OnDelta(GenerationDelta delta) = 0;
  virtual void OnFinished(const ChoiceFinished& finished) = 0;
  // Last. OnStarted has been called when `status` is OK.
  virtual void OnEnd(const Status& status, const RequestTotals& totals) = 0;
};

// How the caller ends a request early. Thread-safe; any time, any number of times.
class CallHandle {
 public:
  virtual ~CallHandle() = default;
  // The request ends with `why` (the first one given) unless it has ended already.
  virtual void Cancel(const Status& why) = 0;
};

// What a call needs from the server while it runs; the members outlive all calls.
struct ServingContext {
  VariantRegistry* registry = nullptr;
  RoutingStore* routing = nullptr;
  const Clock* clock = nullptr;
  Telemetry* telemetry = nullptr;
  RequestLog* log = nullptr;
  Prices prices;
};

// A request with its variant: route, hold the variant, count and report the end.
struct RoutedCall {
  std::shared_ptr<ServingVariant> variant;
  std::shared_ptr<const Adapter> adapter;  // for its sequences; null = none
  RouteInfo route;
};

// "model+adapter:variant", where '+adapter' and ':variant' may be absent. INVALID_ARGUMENT for a part left empty.
struct ModelSelector {
  std::string model, adapter, variant;  // empty = the default, none, routed
};
StatusOr<ModelSelector> ParseModelSelector(std::string_view text);

// Resolves "model+adapter:variant", routes, takes hold of the variant, and counts the request as accepted there.
StatusOr<RoutedCall> RouteCall(const ServingContext& context, const RequestTarget& target,
                               const std::string& request_id);

// Fills the amounts of `totals` from its device-seconds.
void PriceCall(const Prices& prices, const ServingVariant& variant, RequestTotals* totals);

// A cancellation at about the call's deadline is the deadline: the client's clock runs out a little before the server's
// (its timeout is rounded up and travels), and it is the client that cancels then.
Status WithDeadline(const Status& status, const RequestContext& request, TimePoint now);

// Telemetry, counters and the request log, once a call. `call` null: the request never had a variant.
void ReportCall(const ServingContext& context, const RequestContext& request, const RoutedCall* call,
                const Status& status, const RequestTotals& totals, const std::vector<float>* inter_token_seconds);

// Admission: bounds what runs at once and knows whether the server takes requests.
class GenerationService {
 public:
  GenerationService(ServingContext context, int frontend_threads, int max_in_flight);
  ~GenerationService();  // waits until no call is running

  // Never null.
  std::shared_ptr<CallHandle> Generate(GenerationRequest request, std::shared_ptr<GenerationListener> listener);

  // For Score, Compare and the calls that only work on text. Admit: UNAVAILABLE while draining, RESOURCE_EXHAUSTED when
  // too much is running; each Admit that succeeds needs one Release. Post: to the frontend pool, or RESOURCE_EXHAUSTED.
  Status Admit();
  void Release();
  Status Post(std::function<void()> task);

  // The first of `count` ids, unique in this service.
  uint64_t NextSequenceIds(int count);

  void StopAdmission();
  bool admitting() const;
  int in_flight() const;
  const ServingContext& context() const { return context_; }

 private:
  const ServingContext context_;
  const int max_in_flight_;
  mutable Mutex mutex_;
  int in_flight_ GUARDED_BY(mutex_) = 0;
  bool admitting_ GUARDED_BY(mutex_) = true;
  uint64_t next_sequence_ GUARDED_BY(mutex_) = 1;
  CondVar idle_;
  std::unique_ptr<TaskPool> frontend_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_GENERATION_H_
