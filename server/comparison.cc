#include "server/comparison.h"

#include <algorithm>
#include <cmath>

#include "engine/base/limits.h"
#include "engine/format/precision.h"
#include "server/api_error.h"
#include "server/prompt.h"
#include "server/sequence_batch.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr int64_t kMaxCompareTokens = 4096;
constexpr int64_t kDefaultCompareTokens = 64;

// Precision::Kind is ordered from the most precise.
int Rank(const VariantSnapshot& variant) {
  const auto precision = Precision::Parse(variant.settings.precision);
  return precision.ok() ? static_cast<int>(precision->kind) : 1000;
}

class CompareCall final : public CallHandle, public std::enable_shared_from_this<CompareCall> {
 public:
  CompareCall(GenerationService* service, CompareCallRequest request, std::shared_ptr<CompareListener> listener)
      : service_(service), request_(std::move(request)), listener_(std::move(listener)) {}

  void Cancel(const Status& why) override {
    std::shared_ptr<ServingVariant> variant;
    {
      MutexLock lock(&mutex_);
      if (cancel_reason_.ok()) cancel_reason_ = why;
      variant = running_;
    }
    cancelled_->store(true, std::memory_order_relaxed);
    if (variant != nullptr) variant->instance->NotifyCancel();
  }

  void Run() {
    const Status status = Prepare();
    if (!status.ok()) return End(status, true);
    listener_->OnStart(start_);
    RunNext();
  }

  void End(Status status, bool admitted) {
    const TimePoint now = service_->context().clock->Now();
    if (status.code() == StatusCode::kCancelled) {
      MutexLock lock(&mutex_);
      if (!cancel_reason_.ok()) status = cancel_reason_;
    }
    status = WithDeadline(status, request_.context, now);
    if (next_ == 0) ReportCall(service_->context(), request_.context, nullptr, status, {}, nullptr);
    all_.total_seconds = ToSeconds(now - request_.context.arrival);
    all_.marginal = ToMoney(MarginalCost(service_->context().prices, all_.device_seconds));
    listener_->OnEnd(status, num_failed_, all_);
    if (admitted) service_->Release();
  }

 private:
  Status Prepare() {
    RETURN_IF_ERROR(ValidateTarget({request_.model, "", "", ""}, request_.context));
    const int64_t asked = request_.max_tokens.value_or(kDefaultCompareTokens);
    if (asked < 1 || asked > kMaxCompareTokens) {
      return FieldError("max_tokens", fmt::format("got {}, wanted 1 to {}", asked, kMaxCompareTokens));
    }
    GenerationRequest checked;  // the prompt's own checks
    checked.prompt = request_.prompt;
    RETURN_IF_ERROR(ValidateRequest(checked));
    const VariantRegistry& registry = *service_->context().registry;
    ASSIGN_OR_RETURN(const ModelSelector selector, ParseModelSelector(request_.model));
    if (!selector.variant.empty()) {
      return FieldError("model", fmt::format("got a variant \"{}\", wanted it among the variants", selector.variant));
    }
    ASSIGN_OR_RETURN(start_.model, registry.ResolveModel(selector.model));
    adapter_ = selector.adapter;
    if (!adapter_.empty()) RETURN_IF_ERROR(registry.adapters().Acquire(start_.model, adapter_).status());
    const auto resources = registry.Resources(start_.model);
    if (resources == nullptr) return VariantNotReadyError(start_.model, "");
    ASSIGN_OR_RETURN(prompt_, PromptTokens(*resources, request_.prompt, request_.add_special_tokens));
    start_.prompt_tokens = static_cast<int>(prompt_.size());
    return ChooseVariants(registry);
  }

  Status ChooseVariants(const VariantRegistry& registry) {
    std::vector<VariantSnapshot> chosen;
    if (request_.variants.size() > static_cast<size_t>(limits::kMaxVariants)) {
      return FieldError("variants",
                        fmt::format("got {}, wanted at most {}", request_.variants.size(), limits::kMaxVariants));
    }
    for (const std::string& name : request_.variants) {
      ASSIGN_OR_RETURN(VariantSnapshot variant, registry.Snapshot(start_.model, name));
      const bool again =
          std::any_of(chosen.begin(), chosen.end(), [&](const VariantSnapshot& v) { return v.settings.name == name; });
      if (!again) chosen.push_back(std::move(variant));
    }
    if (request_.variants.empty()) {
      for (VariantSnapshot& variant : registry.Snapshots(start_.model)) {
        if (variant.state == VariantState::kReady) chosen.push_back(std::move(variant));
      }
    }
    start_.reference = request_.reference_variant;
    if (start_.reference.empty()) start_.reference = registry.ReferenceVariant(start_.model);
    if (start_.reference.empty() && !chosen.empty()) {
      start_.reference = std::min_element(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) {
                           return Rank(a) < Rank(b);
                         })->settings.name;
    }
    if (start_.reference.empty()) return VariantNotReadyError(start_.model, "");
    RETURN_IF_ERROR(registry.Snapshot(start_.model, start_.reference).status());
    start_.variants.push_back(start_.reference);
    for (const VariantSnapshot& variant : chosen) {
      if (variant.settings.name != start_.reference) start_.variants.push_back(variant.settings.name);
    }
    return OkStatus();
  }

  // On the frontend pool: takes the next variant, or ends.
  void RunNext() {
    if (next_ == start_.variants.size()) return End(OkStatus(), true);
    const std::string& name = start_.variants[next_++];
    result_ = {};
    result_.variant = name;
    result_.is_reference = next_ == 1;
    auto call = RouteCall(service_->context(), {Selector(), name, "", ""}, request_.context.request_id);
    if (!call.ok()) return Fail(call.status());
    call_ = *std::move(call);
    result_.precision = call_->route.precision;
    const int64_t room = call_->variant->instance->max_context() - static_cast<int64_t>(prompt_.size());
    const int64_t wanted = request_.max_tokens.value_or(std::clamp<int64_t>(room, 1, kDefaultCompareTokens));
    if (room < wanted) {
      return Fail(FieldError("max_tokens",
                             fmt::format("the prompt's {} tokens leave room for {}, wanted {}", prompt_.size(),
                                         std::max<int64_t>(room, 0), wanted),
                             "CONTEXT_LENGTH"));
    }
    SequenceSpec spec = MakeSpec(prompt_);
    spec.sampling.temperature = 0;
    spec.stop.max_tokens = static_cast<int>(wanted);
    spec.stop.ignore_eos = request_.ignore_eos;
    spec.logprobs.output_top_n = 0;
    // A prefix another request left would make this variant's latency look better than the others'.
    spec.use_prefix_cache = false;
    Submit(std::move(spec), &CompareCall::OnGreedy);
  }

  std::string Selector() const { return adapter_.empty() ? start_.model : start_.model + "+" + adapter_; }

  SequenceSpec MakeSpec(std::vector<int32_t> prompt) const {
    SequenceSpec spec;
    spec.prompt = std::move(prompt);
    spec.adapter = call_->adapter;
    spec.arrival = service_->context().clock->Now();
    spec.deadline = request_.context.deadline;
    return spec;
  }

  // `then` runs on the frontend pool: the delivery thread is everybody's.
  void Submit(SequenceSpec spec, void (CompareCall::*then)(SequenceResult)) {
    started_ = spec.arrival;
    {
      MutexLock lock(&mutex_);
      running_ = call_->variant;
    }
    std::vector<SequenceSpec> one;
    one.push_back(std::move(spec));
    SequenceBatch::Start(call_->variant, std::move(one), service_->NextSequenceIds(1), 1, cancelled_,
                         [self = shared_from_this(), then](const Status& status, std::vector<SequenceResult> results) {
                           auto shared = std::make_shared<SequenceResult>(std::move(results[0]));
                           const auto next = [self, then, status, shared] {
                             self->all_.device_seconds += shared->usage.device_seconds;
                             if (!status.ok()) return self->Fail(status);
                             ((*self).*then)(std::move(*shared));
                           };
                           if (!self->service_->Post(next).ok()) next();
                         });
  }

  void OnGreedy(SequenceResult run) {
    RequestTotals& totals = result_.totals;
    totals.prompt_tokens = static_cast<int>(prompt_.size());
    totals.completion_tokens = static_cast<int>(run.token_ids.size());
    totals.num_preemptions = run.usage.num_preemptions;
    totals.device_seconds = run.usage.device_seconds;
    totals.queue_seconds = run.usage.queue_seconds;
    totals.prefill_seconds = run.usage.prefill_seconds;
    totals.decode_seconds = run.usage.decode_seconds;
    totals.total_seconds = ToSeconds(service_->context().clock->Now() - started_);
    if (!run.token_ids.empty()) totals.ttft_seconds = ToSeconds(run.first_token - started_);
    PriceCall(service_->context().prices, *call_->variant, &totals);
    result_.finish = run.finish;
    result_.token_ids = run.token_ids;
    TextStream text(call_->variant->resources->tokenizer, {});
    for (size_t i = 0; i < run.token_ids.size(); ++i)
      result_.text += text.Push(run.token_ids[i], static_cast<int>(i) + 1);
    result_.text += text.Finish(run.finish);
    if (result_.is_reference) {
      reference_ = std::move(run);
      return Succeed();
    }
    result_.first_divergence = FirstDivergence(reference_.token_ids, result_.token_ids);
    if (reference_.token_ids.empty()) return Succeed();
    std::vector<int32_t> forced = prompt_;
    forced.insert(forced.end(), reference_.token_ids.begin(), reference_.token_ids.end());
    SequenceSpec spec = MakeSpec(std::move(forced));
    spec.stop.max_tokens = 0;
    spec.logprobs.prompt_top_n = 0;
    spec.use_prefix_cache = false;
    Submit(std::move(spec), &CompareCall::OnForced);
  }

  void OnForced(SequenceResult run) {
    const size_t count = reference_.token_ids.size();
    if (run.prompt_logprobs.size() != prompt_.size() + count || reference_.logprobs.size() != count) {
      return Fail(
          Internal("teacher forcing gave {} positions, wanted {}", run.prompt_logprobs.size(), prompt_.size() + count));
    }
    int agreed = 0;
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      const TokenLogprob& scored = run.prompt_logprobs[prompt_.size() + i];
      agreed += scored.rank == 1 ? 1 : 0;
      const double gap = static_cast<double>(reference_.logprobs[i]) - scored.logprob;
      sum += gap;
      result_.max_abs_logprob_gap = std::max(result_.max_abs_logprob_gap, std::abs(gap));
    }
    result_.top1_agreement = static_cast<double>(agreed) / static_cast<double>(count);
    result_.mean_logprob_gap = sum / static_cast<double>(count);
    Succeed();
  }

  void Succeed() {
    CloseVariant(OkStatus());
    listener_->OnResult(result_);
    RunNext();
  }

  void Fail(const Status& raw) {
    const Status status = FromEngine(raw, start_.model, result_.variant);
    CloseVariant(status);
    const bool ends_all = result_.is_reference || status.code() == StatusCode::kCancelled ||
                          status.code() == StatusCode::kDeadlineExceeded;
    if (ends_all) return End(status, true);
    ++num_failed_;
    CompareVariantResult failed;
    failed.variant = result_.variant;
    failed.precision = result_.precision;
    failed.error = status;
    listener_->OnResult(failed);
    RunNext();
  }

  void CloseVariant(const Status& status) {
    {
      MutexLock lock(&mutex_);
      running_ = nullptr;
    }
    if (call_) ReportCall(service_->context(), request_.context, &*call_, status, result_.totals, nullptr);
    call_.reset();
  }

  GenerationService* const service_;
  const CompareCallRequest request_;
  const std::shared_ptr<CompareListener> listener_;
  const CancelFlag cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<int32_t> prompt_;
  CompareStart start_;
  std::string adapter_;  // of every run; empty = none
  size_t next_ = 0;
  std::optional<RoutedCall> call_;
  CompareVariantResult result_;
  SequenceResult reference_;
  TimePoint started_{};
  int num_failed_ = 0;
  RequestTotals all_;
  Mutex mutex_;
  std::shared_ptr<ServingVariant> running_ GUARDED_BY(mutex_);
  Status cancel_reason_ GUARDED_BY(mutex_);
};

}  // namespace

std::optional<int> FirstDivergence(const std::vector<int32_t>& reference, const std::vector<int32_t>& tokens) {
  const auto [a, b] = std::mismatch(reference.begin(), reference.end(), tokens.begin(), tokens.end());
  if (a == reference.end() && b == tokens.end()) return std::nullopt;
  return static_cast<int>(a - reference.begin());
}

std::shared_ptr<CallHandle> StartCompare(GenerationService* service, CompareCallRequest request,
                                         std::shared_ptr<CompareListener> listener) {
  auto call = std::make_shared<CompareCall>(service, std::move(request), std::move(listener));
  if (const Status status = service->Admit(); !status.ok()) {
    call->End(status, false);
  } else if (const Status posted = service->Post([call] { call->Run(); }); !posted.ok()) {
    call->End(posted, true);
  }
  return call;
}

}  // namespace bitrate
