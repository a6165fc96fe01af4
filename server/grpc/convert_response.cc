// Internal types -> messages.
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cmath>

#include "engine/format/precision.h"
#include "google/rpc/status.pb.h"
#include "server/api_error.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_status.h"

namespace bitrate {
namespace {

using google::protobuf::util::TimeUtil;

void SetSeconds(double seconds, google::protobuf::Duration* out) {
  *out = TimeUtil::NanosecondsToDuration(std::llround(std::max(seconds, 0.0) * 1e9));
}

v1::PrecisionKind KindOf(const std::string& precision) {
  const auto parsed = Precision::Parse(precision);
  if (!parsed.ok()) return v1::PRECISION_KIND_UNSPECIFIED;
  switch (parsed->kind) {
    case Precision::Kind::kFp32:
      return v1::PRECISION_KIND_FP32;
    case Precision::Kind::kBf16:
      return v1::PRECISION_KIND_BF16;
    case Precision::Kind::kFp16:
      return v1::PRECISION_KIND_FP16;
    case Precision::Kind::kInt8:
      return v1::PRECISION_KIND_INT8;
    case Precision::Kind::kInt4:
      return v1::PRECISION_KIND_INT4;
    case Precision::Kind::kNf4:
      return v1::PRECISION_KIND_NF4;
    case Precision::Kind::kNative:
      return v1::PRECISION_KIND_NATIVE;
  }
  return v1::PRECISION_KIND_UNSPECIFIED;
}

v1::RouteReason ToProto(RouteReason reason) {
  switch (reason) {
    case RouteReason::kWeight:
      return v1::ROUTE_REASON_WEIGHT;
    case RouteReason::kPin:
      return v1::ROUTE_REASON_PIN;
    case RouteReason::kSticky:
      return v1::ROUTE_REASON_STICKY;
    case RouteReason::kFallback:
      return v1::ROUTE_REASON_FALLBACK;
    case RouteReason::kDefault:
      return v1::ROUTE_REASON_DEFAULT;
  }
  return v1::ROUTE_REASON_UNSPECIFIED;
}

void FillServing(const ServingVariant& in, v1::Variant* out) {
  const VariantInfo& info = in.info;
  out->set_precision(info.precision);
  out->set_precision_kind(KindOf(info.precision));
  out->set_weight_bits(info.weight_bits);
  out->set_group_size(info.group_size);
  out->set_activation_precision(info.activation_precision);
  out->set_kv_precision(info.kv_precision);
  out->set_backend(info.backend);
  out->set_kernel(info.kernel);
  out->set_isa(info.isa);
  for (const std::string& refusal : in.kernel_refusals) out->add_kernel_refusals(refusal);
  v1::ResidentBytes* bytes = out->mutable_resident_bytes();
  bytes->set_weights(info.weight_bytes);
  bytes->set_weights_unique(info.unique_weight_bytes);
  bytes->set_weights_mapped(info.mapped_weight_bytes);
  bytes->set_kv(info.kv_bytes);
  bytes->set_scratch(info.scratch_bytes);
  out->set_max_context(in.instance->max_context());
  SetSeconds(info.load_seconds, out->mutable_load_duration());
}

}  // namespace

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kEos:
      return v1::FINISH_REASON_EOS;
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    default:
      return v1::FINISH_REASON_UNSPECIFIED;  // ends by error carry a status instead
  }
}

void ToProto(const RouteInfo& in, v1::Route* out) {
  out->set_model(in.model);
  out->set_variant(in.variant);
  out->set_precision(in.precision);
  out->set_experiment(in.decision.experiment);
  out->set_arm(in.decision.arm);
  out->set_reason(ToProto(in.decision.reason));
  out->set_policy_etag(in.policy_etag);
  out->set_adapter(in.adapter);
}

void ToProto(const ScoredToken& in, v1::TokenLogprob* out) {
  out->set_token_id(in.token_id);
  if (in.logprob) out->set_logprob(*in.logprob);
  out->set_rank(in.rank);
  out->set_token(in.bytes);
  for (size_t i = 0; i < in.top.size(); ++i) {
    v1::TopLogprob* top = out->add_top();
    top->set_token_id(in.top[i].token_id);
    top->set_logprob(in.top[i].logprob);
    top->set_rank(in.top[i].rank);
    if (i < in.top_bytes.size()) top->set_token(in.top_bytes[i]);
  }
}

void ToProto(const GenerationStarted& in, v1::StreamStarted* out) {
  out->set_request_id(in.request_id);
  ToProto(in.route, out->mutable_route());
  out->set_prompt_tokens(in.prompt_tokens);
  out->set_cached_tokens(in.cached_tokens);
  out->set_seed(in.seed);
}

void ToProto(GenerationDelta in, v1::StreamDelta* out) {
  out->set_index(in.index);
  out->set_text(std::move(in.text));
  for (const int32_t id : in.token_ids) out->add_token_ids(id);
  for (const ScoredToken& token : in.logprobs) ToProto(token, out->add_logprobs());
  for (const ScoredToken& token : in.prompt_logprobs) ToProto(token, out->add_prompt_logprobs());
  out->set_completion_tokens(in.completion_tokens);
}

void ToProto(const RequestTotals& in, v1::Usage* out) {
  out->set_prompt_tokens(in.prompt_tokens);
  out->set_cached_tokens(in.cached_tokens);
  out->set_completion_tokens(in.completion_tokens);
  out->set_num_preemptions(in.num_preemptions);
}

void ToProto(const RequestTotals& in, v1::Timing* out) {
  SetSeconds(in.queue_seconds, out->mutable_queue());
  SetSeconds(in.prefill_seconds, out->mutable_prefill());
  if (in.ttft_seconds >= 0) SetSeconds(in.ttft_seconds, out->mutable_time_to_first_token());
  SetSeconds(in.decode_seconds, out->mutable_decode());
  SetSeconds(in.total_seconds, out->mutable_total());
}

void ToProto(const RequestTotals& in, const Prices& prices, v1::Cost* out) {
  out->set_device_seconds(in.device_seconds);
  if (prices.currency.empty()) return;
  out->set_currency_code(prices.currency);
  out->set_units(in.marginal.units);
  out->set_nanos(in.marginal.nanos);
  out->set_pricing_version(prices.pricing_version);
  if (!in.fully_loaded) return;
  v1::Money* loaded = out->mutable_fully_loaded();
  loaded->set_currency_code(prices.currency);
  loaded->set_units(in.fully_loaded->units);
  loaded->set_nanos(in.fully_loaded->nanos);
}

v1::VariantState ToProto(VariantState state) {
  switch (state) {
    case VariantState::kLoading:
      return v1::VARIANT_STATE_LOADING;
    case VariantState::kReady:
      return v1::VARIANT_STATE_READY;
    case VariantState::kDraining:
      return v1::VARIANT_STATE_DRAINING;
    case VariantState::kFailed:
      return v1::VARIANT_STATE_FAILED;
    case VariantState::kUnloaded:
      return v1::VARIANT_STATE_UNLOADED;
  }
  return v1::VARIANT_STATE_UNSPECIFIED;
}

void ToProto(const VariantSnapshot& in, bool public_view, v1::Variant* out) {
  out->set_model(in.model);
  out->set_name(in.settings.name);
  out->set_state(ToProto(in.state));
  if (!in.error.ok()) {
    const Status shown = public_view ? MakeStatus(in.error.code(), "the variant could not be loaded") : in.error;
    *out->mutable_error() = ToRpcStatus(shown, "");
  }
  out->set_requested_precision(in.settings.precision);
  out->set_max_sequences(in.settings.max_sequences);
  out->set_content_digest(in.digest);
  if (in.serving == nullptr) return;
  *out->mutable_loaded_at() = TimeUtil::MillisecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::milliseconds>(in.loaded_at.time_since_epoch()).count());
  FillServing(*in.serving, out);
}

void ToProto(const RoutingPolicy& in, v1::RoutingPolicy* out) {
  for (const RoutingRule& rule : in.rules) {
    v1::RoutingRule* to = out->add_rules();
    to->set_model(rule.model);
    to->set_experiment(rule.experiment);
    to->set_salt(rule.salt);
    for (const RoutingArm& arm : rule.arms) {
      v1::RoutingArm* to_arm = to->add_arms();
      to_arm->set_name(arm.name);
      to_arm->set_variant(arm.variant);
      to_arm->set_weight(arm.weight);
    }
    for (const std::string& variant : rule.fallback) to->add_fallback(variant);
  }
}

}  // namespace bitrate
