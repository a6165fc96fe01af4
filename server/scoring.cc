#include "server/scoring.h"

#include <algorithm>

#include "engine/base/limits.h"
#include "engine/model_source/score_split.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/prompt.h"
#include "server/sequence_batch.h"

namespace bitrate {
namespace {

constexpr int kWindow = 32;  // sequences of one call in the engine at once: its queue is for everybody

std::optional<int32_t> EosId(const ModelResources& model) {
  if (model.tokenizer != nullptr && model.tokenizer->eos_id()) return model.tokenizer->eos_id();
  return model.eos_ids.empty() ? std::nullopt : std::optional<int32_t>(model.eos_ids[0]);
}

ScoreTokens Join(ScoreIds parts) {
  ScoreTokens tokens;
  tokens.context_tokens = static_cast<int>(parts.context.size());
  tokens.ids = std::move(parts.context);
  tokens.ids.insert(tokens.ids.end(), parts.continuation.begin(), parts.continuation.end());
  return tokens;
}

// What the split refuses is the client's; `path` says which item.
StatusOr<ScoreTokens> Named(StatusOr<ScoreIds> parts, const std::string& path) {
  if (parts.ok()) return Join(*std::move(parts));
  if (parts.status().code() != StatusCode::kInvalidArgument) return parts.status();
  return FieldError(path, ToStd(parts.status().message()));
}

class ScoreCall final : public CallHandle, public std::enable_shared_from_this<ScoreCall> {
 public:
  using DoneFn = std::function<void(const Status&, const ScoreOutcome&)>;
  ScoreCall(GenerationService* service, ScoreCallRequest request, DoneFn done)
      : service_(service), request_(std::move(request)), done_(std::move(done)) {}

  void Cancel(const Status&) override {
    cancelled_->store(true, std::memory_order_relaxed);
    std::shared_ptr<ServingVariant> variant;
    {
      MutexLock lock(&mutex_);
      variant = running_;
    }
    if (variant != nullptr) variant->instance->NotifyCancel();
  }

  void Run() {
    const Status status = Prepare();
    if (!status.ok()) End(status, true);
  }

  void End(Status status, bool admitted) {
    const ServingContext& context = service_->context();
    const TimePoint now = context.clock->Now();
    status = WithDeadline(status, request_.context, now);
    outcome_.totals.total_seconds = ToSeconds(now - request_.context.arrival);
    if (call_) PriceCall(context.prices, *call_->variant, &outcome_.totals);
    ReportCall(context, request_.context, call_ ? &*call_ : nullptr, status, outcome_.totals, nullptr);
    {
      MutexLock lock(&mutex_);
      running_ = nullptr;
    }
    call_.reset();
    done_(status, outcome_);
    done_ = nullptr;
    if (admitted) service_->Release();
  }

 private:
  Status Validate() const {
    RETURN_IF_ERROR(ValidateTarget(request_.target, request_.context));
    const auto check = [](int64_t value, int64_t low, int64_t high, std::string_view field) {
      if (value >= low && value <= high) return OkStatus();
      return FieldError(field, fmt::format("got {}, wanted {} to {}", value, low, high));
    };
    RETURN_IF_ERROR(check(static_cast<int64_t>(request_.items.size()), 1, limits::kMaxScoreItems, "items"));
    RETURN_IF_ERROR(check(request_.top_n, -1, limits::kMaxTopLogprobs, "top_n"));
    return check(request_.priority, 0, limits::kMaxPriority, "priority");
  }

  Status Prepare() {
    RETURN_IF_ERROR(Validate());
    ASSIGN_OR_RETURN(call_, RouteCall(service_->context(), request_.target, request_.context.request_id));
    outcome_.route = call_->route;
    const ModelResources& model = *call_->variant->resources;
    const int64_t context_limit = call_->variant->instance->max_context();
    std::vector<SequenceSpec> specs;
    for (size_t i = 0; i < request_.items.size(); ++i) {
      ASSIGN_OR_RETURN(ScoreTokens tokens, SplitScoreItem(model, request_.items[i], i));
      if (static_cast<int64_t>(tokens.ids.size()) > context_limit) {
        return FieldError(fmt::format("items[{}]", i),
                          fmt::format("got {} tokens, wanted at most {}", tokens.ids.size(), context_limit),
                          "CONTEXT_LENGTH");
      }
      outcome_.totals.prompt_tokens += static_cast<int>(tokens.ids.size());
      context_tokens_.push_back(tokens.context_tokens);
      SequenceSpec spec;
      spec.prompt = std::move(tokens.ids);
      spec.stop.max_tokens = 0;
      spec.logprobs.prompt_top_n = std::max(request_.top_n, 0);
      spec.adapter = call_->adapter;
      spec.priority = static_cast<int>(request_.priority);
      spec.arrival = request_.context.arrival;
      spec.deadline = request_.context.deadline;
      spec.use_prefix_cache = false;
      specs.push_back(std::move(spec));
    }
    {
      MutexLock lock(&mutex_);
      running_ = call_->variant;
    }
    const uint64_t first_id = service_->NextSequenceIds(static_cast<int>(specs.size()));
    SequenceBatch::Start(call_->variant, std::move(specs), first_id, kWindow, cancelled_,
                         [self = shared_from_this()](const Status& status, std::vector<SequenceResult> results) {
                           self->Collect(status, std::move(results));
                         });
    return OkStatus();
  }

  void Collect(const Status& status, std::vector<SequenceResult> results) {
    const ModelResources& model = *call_->variant->resources;
    for (size_t i = 0; i < results.size(); ++i) {
      SequenceResult& result = results[i];
      outcome_.totals.device_seconds += result.usage.device_seconds;
      outcome_.totals.num_preemptions += result.usage.num_preemptions;
      outcome_.totals.queue_seconds = std::max(outcome_.totals.queue_seconds, result.usage.queue_seconds);
      outcome_.totals.prefill_seconds += result.usage.prefill_seconds;
      if (!status.ok()) continue;
      ScoredItem item;
      item.context_tokens = context_tokens_[i];
      for (size_t t = static_cast<size_t>(item.context_tokens); t < result.prompt_logprobs.size(); ++t) {
        const TokenLogprob& scored = result.prompt_logprobs[t];
        item.sum_logprob += scored.logprob;
        item.is_greedy = item.is_greedy && scored.rank == 1;
        std::vector<TokenLogprob> top;
        if (request_.top_n > 0 && t < result.prompt_top.size()) top = std::move(result.prompt_top[t]);
        item.tokens.push_back(MakeScored(model, scored.token_id, scored.logprob, scored.rank, std::move(top)));
      }
      outcome_.items.push_back(std::move(item));
    }
    End(FromEngine(status, call_->route.model, call_->route.variant), true);
  }

  GenerationService* const service_;
  ScoreCallRequest request_;
  DoneFn done_;
  const CancelFlag cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::optional<RoutedCall> call_;
  std::vector<int> context_tokens_;
  ScoreOutcome outcome_;
  Mutex mutex_;
  std::shared_ptr<ServingVariant> running_ GUARDED_BY(mutex_);
};

}  // namespace

StatusOr<ScoreTokens> SplitScoreItem(const ModelResources& model, const ScoreItemRequest& item, size_t index) {
  const std::string path = fmt::format("items[{}]", index);
  const auto* text = std::get_if<std::string>(&item.continuation);
  const auto* ids = std::get_if<std::vector<int32_t>>(&item.continuation);
  if (text == nullptr && ids == nullptr) return FieldError(path + ".continuation", "got nothing, wanted text or ids");
  if (ids != nullptr) {
    if (std::holds_alternative<std::string>(item.context)) {
      return FieldError(path + ".context", "got text, wanted ids as the continuation has");
    }
    std::vector<int32_t> context;
    if (const auto* given = std::get_if<std::vector<int32_t>>(&item.context)) context = *given;
    RETURN_IF_ERROR(CheckIds(model, path + ".context_ids", context));
    RETURN_IF_ERROR(CheckIds(model, path + ".continuation_ids", *ids));
    if (ids->empty()) return FieldError(path + ".continuation_ids", "got none, wanted at least one id");
    return Named(SplitScoreIds(EosId(model), std::move(context), *ids), path);
  }
  if (std::holds_alternative<std::vector<int32_t>>(item.context)) {
    return FieldError(path + ".context", "got ids, wanted text as the continuation has");
  }
  if (text->empty()) return FieldError(path + ".continuation_text", "got an empty text, wanted at least one character");
  std::string context;
  if (const auto* given = std::get_if<std::string>(&item.context)) context = *given;
  if (model.tokenizer == nullptr) return TextTokens(model, "", false, true).status();
  return Named(SplitScoreText(*model.tokenizer, EosId(model), std::move(context), *text), path);
}

std::shared_ptr<CallHandle> StartScore(GenerationService* service, ScoreCallRequest request,
                                       std::function<void(const Status&, const ScoreOutcome&)> done) {
  auto call = std::make_shared<ScoreCall>(service, std::move(request), std::move(done));
  if (const Status status = service->Admit(); !status.ok()) {
    call->End(status, false);
  } else if (const Status posted = service->Post([call] { call->Run(); }); !posted.ok()) {
    call->End(posted, true);
  }
  return call;
}

}  // namespace bitrate
