// Routing a call to a variant, and its one report at the end.
#include <algorithm>

#include "server/api_error.h"
#include "server/generation.h"
#include "server/request_log.h"
#include "server/routing_store.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr auto kDeadlineSlack = std::chrono::milliseconds(50);

Outcome OutcomeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return Outcome::kOk;
    case StatusCode::kCancelled:
      return Outcome::kCancelled;
    case StatusCode::kDeadlineExceeded:
      return Outcome::kDeadline;
    case StatusCode::kInternal:
    case StatusCode::kDataLoss:
    case StatusCode::kUnknown:
      return Outcome::kError;
    default:
      return Outcome::kRejected;
  }
}

// "smollm2:int4" pins as well; the two ways must agree.
StatusOr<ModelSelector> SelectorOf(const RequestTarget& target) {
  ASSIGN_OR_RETURN(ModelSelector selector, ParseModelSelector(target.model));
  if (target.variant.empty()) return selector;
  if (!selector.variant.empty() && selector.variant != target.variant) {
    return FieldError("model.variant",
                      fmt::format("got \"{}\", but model.model pins \"{}\"", target.variant, selector.variant));
  }
  selector.variant = target.variant;
  return selector;
}

}  // namespace

StatusOr<ModelSelector> ParseModelSelector(std::string_view text) {
  ModelSelector selector;
  const size_t colon = text.find(':');
  if (colon != text.npos) {
    selector.variant = text.substr(colon + 1);
    if (selector.variant.empty()) return FieldError("model.model", "got nothing after ':', wanted a variant");
  }
  text = text.substr(0, colon);
  const size_t plus = text.find('+');
  selector.model = text.substr(0, plus);
  if (plus == text.npos) return selector;
  selector.adapter = text.substr(plus + 1);
  if (selector.adapter.empty()) return FieldError("model.model", "got nothing after '+', wanted an adapter");
  return selector;
}

StatusOr<RoutedCall> RouteCall(const ServingContext& context, const RequestTarget& target,
                               const std::string& request_id) {
  ASSIGN_OR_RETURN(const ModelSelector selector, SelectorOf(target));
  ASSIGN_OR_RETURN(const std::string model, context.registry->ResolveModel(selector.model));
  ASSIGN_OR_RETURN(const RoutableModel routable, context.registry->Routable(model));
  const std::shared_ptr<const RoutingSnapshot> policy = context.routing->Current();
  RoutedCall call;
  if (!selector.adapter.empty()) {
    ASSIGN_OR_RETURN(call.adapter, context.registry->adapters().Acquire(model, selector.adapter));
  }
  const auto ready = [&](std::string_view variant) { return context.registry->IsReady(model, variant); };
  ASSIGN_OR_RETURN(RouteDecision decision, PickRoute(policy->policy, routable, ready,
                                                     {.pinned_variant = selector.variant,
                                                      .experiment = target.experiment,
                                                      .unit = target.unit,
                                                      .request_id = request_id}));
  call.variant = context.registry->Acquire(model, decision.variant);
  if (call.variant == nullptr) return VariantNotReadyError(model, decision.variant);
  call.variant->counter->Accept();
  call.variant->telemetry->OnRoutingDecision(decision.experiment, decision.arm, decision.reason);
  call.route = {model,       decision.variant, selector.adapter, call.variant->info.precision, std::move(decision),
                policy->etag};
  return call;
}

void PriceCall(const Prices& prices, const ServingVariant& variant, RequestTotals* totals) {
  const double marginal = MarginalCost(prices, totals->device_seconds);
  totals->marginal = ToMoney(marginal);
  if (prices.currency.empty() || prices.gib_hour <= 0) return;
  const int beside = std::max(1, variant.instance->gauges().running);
  const double seconds = totals->total_seconds - totals->queue_seconds;
  totals->fully_loaded = ToMoney(marginal + MemoryCost(prices, variant.resident_bytes(), seconds, 1.0 / beside));
}

Status WithDeadline(const Status& status, const RequestContext& request, TimePoint now) {
  if (status.code() != StatusCode::kCancelled || request.deadline == kNoDeadline) return status;
  return now >= request.deadline - kDeadlineSlack ? DeadlineExceeded("the deadline passed") : status;
}

void ReportCall(const ServingContext& context, const RequestContext& request, const RoutedCall* call,
                const Status& status, const RequestTotals& totals, const std::vector<float>* inter_token_seconds) {
  const Outcome outcome = OutcomeOf(status);
  RequestReport report;
  report.api = request.api;
  report.method = request.method;
  report.outcome = outcome;
  report.code = CodeName(status.code());
  report.prompt_tokens = totals.prompt_tokens;
  report.completion_tokens = totals.completion_tokens;
  report.ttft_seconds = totals.ttft_seconds;
  report.total_seconds = totals.total_seconds;
  report.queue_seconds = totals.queue_seconds;
  report.prefill_seconds = totals.prefill_seconds;
  report.decode_seconds = totals.decode_seconds;
  report.device_seconds = totals.device_seconds;
  report.cost = MarginalCost(context.prices, totals.device_seconds);
  report.inter_token_seconds = inter_token_seconds;

  std::vector<LogField> fields = {{"api", request.api},
                                  {"method", request.method},
                                  {"request_id", request.request_id},
                                  {"outcome", OutcomeName(outcome)},
                                  {"code", report.code}};
  if (!request.traceparent.empty()) fields.emplace_back("traceparent", request.traceparent);
  if (!request.peer.empty()) fields.emplace_back("peer", request.peer);
  if (call != nullptr) {
    call->variant->counter->Finish(outcome);
    call->variant->telemetry->OnRequestFinished(report);
    fields.emplace_back("model", call->route.model);
    fields.emplace_back("variant", call->route.variant);
    if (!call->route.adapter.empty()) {
      context.telemetry->OnAdapterRequest(call->route.model, call->route.adapter, report);
      fields.emplace_back("adapter", call->route.adapter);
    }
    fields.emplace_back("reason", RouteReasonName(call->route.decision.reason));
    if (!call->route.decision.arm.empty()) fields.emplace_back("arm", call->route.decision.arm);
  } else {
    context.telemetry->OnUnroutedRequest(report);
  }
  fields.emplace_back("prompt_tokens", totals.prompt_tokens);
  fields.emplace_back("completion_tokens", totals.completion_tokens);
  fields.emplace_back("queue_s", totals.queue_seconds);
  if (totals.ttft_seconds >= 0) fields.emplace_back("ttft_s", totals.ttft_seconds);
  fields.emplace_back("total_s", totals.total_seconds);
  fields.emplace_back("device_s", totals.device_seconds);
  if (!context.prices.currency.empty()) fields.emplace_back("cost", report.cost);
  // A refusal's reason names fields, never their text; the message of one may quote a value, so it stays out.
  if (!status.ok()) fields.emplace_back("error", GetDetail(status).reason);
  context.log->Write(outcome == Outcome::kError ? LogLevel::kError : LogLevel::kInfo, "request", fields);
}

}  // namespace bitrate
