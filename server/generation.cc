#include "server/generation.h"

#include <algorithm>
#include <random>

#include "server/api_error.h"
#include "server/prompt.h"
#include "server/request_log.h"
#include "server/task_pool.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr size_t kFrontendQueue = 4096;  // also bounded by max_in_flight

// Random device, not a generator of our own: two servers started together must not share seeds.
uint64_t DrawSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

struct ChoiceState {
  TextStream text;
  int num_tokens = 0;
  TimePoint last_token{};
  bool done = false;
};

class Generation final : public TokenSink, public CallHandle, public std::enable_shared_from_this<Generation> {
 public:
  Generation(GenerationService* service, GenerationRequest request, std::shared_ptr<GenerationListener> listener)
      : service_(service),
        context_(service->context()),
        request_(std::move(request)),
        listener_(std::move(listener)),
        cancelled_(std::make_shared<std::atomic<bool>>(false)) {}

  void Cancel(const Status& why) override;
  void OnEvent(TokenEvent event) override;

  void Prepare();
  // Ends a request that never reached an engine.
  void Refuse(const Status& status, bool admitted);

 private:
  Status CancelReason();
  Status BuildSequences(std::vector<SequenceSpec>* sequences);
  Status CheckLength(int64_t prompt_tokens) const;
  Status SubmitOnce();
  void Start(const TokenEvent& event);
  void OnToken(const TokenEvent& event, ChoiceState& choice);
  void OnChoiceEnd(const TokenEvent& event, ChoiceState& choice);
  void Complete();

  GenerationService* const service_;
  const ServingContext& context_;
  GenerationRequest request_;
  const std::shared_ptr<GenerationListener> listener_;
  const CancelFlag cancelled_;

  Mutex mutex_;
  std::shared_ptr<ServingVariant> cancellable_ GUARDED_BY(mutex_);  // while an engine has the request
  Status cancel_reason_ GUARDED_BY(mutex_);

  // Frontend pool until Submit, then the delivery thread; Submit's inbox orders the two.
  std::optional<RoutedCall> call_;
  std::vector<ChoiceState> choices_;
  bool started_ = false;
  int num_done_ = 0;
  Status status_;
  RequestTotals totals_;
  std::vector<float> inter_token_seconds_;
};

void Generation::Cancel(const Status& why) {
  std::shared_ptr<ServingVariant> variant;
  {
    MutexLock lock(&mutex_);
    if (cancel_reason_.ok()) cancel_reason_ = why;
    variant = cancellable_;
  }
  cancelled_->store(true, std::memory_order_relaxed);
  if (variant != nullptr) variant->instance->NotifyCancel();
}

Status Generation::CancelReason() {
  MutexLock lock(&mutex_);
  return cancel_reason_.ok() ? Cancelled("the request was cancelled") : cancel_reason_;
}

void Generation::Refuse(const Status& status, bool admitted) {
  totals_.total_seconds = ToSeconds(context_.clock->Now() - request_.context.arrival);
  ReportCall(context_, request_.context, call_ ? &*call_ : nullptr, status, totals_, nullptr);
  call_.reset();
  listener_->OnEnd(status, totals_);
  if (admitted) service_->Release();
}

void Generation::Prepare() {
  Status status = ValidateTarget(request_.target, request_.context);
  if (status.ok()) status = ValidateRequest(request_);
  if (status.ok() && cancelled_->load(std::memory_order_relaxed)) status = CancelReason();
  if (!status.ok()) return Refuse(status, /*admitted=*/true);
  status = SubmitOnce();
  if (status.ok()) return;  // the delivery thread has the request now
  // A variant that stopped between routing and Submit: the router may choose again, once; no token was sent.
  if (status.code() == StatusCode::kUnavailable && call_ && call_->route.decision.reason != RouteReason::kPin) {
    call_->variant->counter->Finish(Outcome::kRejected);
    call_.reset();
    status = SubmitOnce();
  }
  if (!status.ok()) Refuse(status, /*admitted=*/true);
}

Status Generation::SubmitOnce() {
  ASSIGN_OR_RETURN(call_, RouteCall(context_, request_.target, request_.context.request_id));
  std::vector<SequenceSpec> sequences;
  RETURN_IF_ERROR(BuildSequences(&sequences));
  choices_.clear();
  for (int64_t i = 0; i < request_.n; ++i) {
    choices_.push_back({TextStream(call_->variant->resources->tokenizer, request_.stop)});
  }
  // From here the delivery thread may end the request at any moment, so nothing of this object but the lock is used.
  const std::shared_ptr<ServingVariant> variant = call_->variant;
  {
    MutexLock lock(&mutex_);
    cancellable_ = variant;
  }
  const Status status = variant->instance->Submit(std::move(sequences));
  if (!status.ok()) {
    MutexLock lock(&mutex_);
    cancellable_ = nullptr;
  } else if (cancelled_->load(std::memory_order_relaxed)) {
    variant->instance->NotifyCancel();
  }
  return FromEngine(status, variant->model, variant->name);
}

Status Generation::CheckLength(int64_t prompt_tokens) const {
  const int64_t context = call_->variant->instance->max_context();
  const int64_t room = context - prompt_tokens;
  if (!request_.stop.max_tokens) {
    if (room >= 1) return OkStatus();
    return FieldError("prompt",
                      fmt::format("got {} tokens, wanted at most {} to leave room for one in the context of {}",
                                  prompt_tokens, context - 1, context),
                      "CONTEXT_LENGTH");
  }
  if (room >= *request_.stop.max_tokens) return OkStatus();
  return FieldError(prompt_tokens > context ? "prompt" : "stop.max_tokens",
                    fmt::format("the prompt's {} tokens and max_tokens {} are together more than the context of {}",
                                prompt_tokens, *request_.stop.max_tokens, context),
                    "CONTEXT_LENGTH");
}

Status Generation::BuildSequences(std::vector<SequenceSpec>* sequences) {
  const ModelResources& model = *call_->variant->resources;
  RETURN_IF_ERROR(
      FieldErrorFromPrefix(ValidateSampling(request_.sampling, request_.stop, request_.logprobs, model.vocab_size)));
  if (!request_.stop.stop.empty() && model.tokenizer == nullptr) {
    return FieldError("stop.stop", "the model has no tokenizer, so it can have no stop strings");
  }
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt, PromptTokens(model, request_.prompt, request_.add_special_tokens));
  RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(prompt.size())));
  if (!request_.has_seed) request_.sampling.seed = DrawSeed();
  request_.has_seed = true;  // a second attempt keeps the first one's
  totals_.prompt_tokens = static_cast<int>(prompt.size());
  const uint64_t first_id = service_->NextSequenceIds(static_cast<int>(request_.n));
  for (int64_t i = 0; i < request_.n; ++i) {
    SequenceSpec spec;
    spec.id = first_id + static_cast<uint64_t>(i);
    spec.choice_index = static_cast<int>(i);
    spec.prompt = prompt;
    spec.sampling = request_.sampling;
    spec.stop = request_.stop;
    spec.logprobs = request_.logprobs;
    if (i > 0) spec.logprobs.prompt_top_n = -1;  // the prompt is the same for all
    spec.priority = static_cast<int>(request_.priority);
    spec.arrival = request_.context.arrival;
    spec.deadline = request_.context.deadline;
    if (request_.max_queue_time) spec.queue_deadline = request_.context.arrival + *request_.max_queue_time;
    spec.adapter = call_->adapter;
    spec.cache_salt = request_.cache_salt;
    spec.use_prefix_cache = request_.use_prefix_cache;
    spec.cancelled = cancelled_;
    spec.sink = shared_from_this();
    sequences->push_back(std::move(spec));
  }
  return OkStatus();
}

void Generation::Start(const TokenEvent& event) {
  started_ = true;
  totals_.cached_tokens = event.usage.cached_tokens;
  totals_.queue_seconds = event.usage.queue_seconds;
  listener_->OnStarted({request_.context.request_id, call_->route, totals_.prompt_tokens, totals_.cached_tokens,
                        request_.sampling.seed});
}

void Generation::OnEvent(TokenEvent event) {
  ChoiceState& choice = choices_[static_cast<size_t>(event.index)];
  if (choice.done) return;
  if (!started_ && (event.first_scheduled || event.token_id || (event.finished() && event.status.ok()))) Start(event);
  if (event.token_id || !event.prompt_logprobs.empty() || (event.finished() && event.status.ok())) {
    OnToken(event, choice);
  }
  if (event.finished()) OnChoiceEnd(event, choice);
}

void Generation::OnToken(const TokenEvent& event, ChoiceState& choice) {
  const ModelResources& model = *call_->variant->resources;
  GenerationDelta delta;
  delta.index = event.index;
  if (event.token_id) {
    ++choice.num_tokens;
    ++totals_.completion_tokens;
    if (totals_.ttft_seconds < 0) totals_.ttft_seconds = ToSeconds(event.time - request_.context.arrival);
    if (choice.num_tokens > 1) {
      inter_token_seconds_.push_back(static_cast<float>(ToSeconds(event.time - choice.last_token)));
    }
    choice.last_token = event.time;
    delta.token_ids.push_back(*event.token_id);
    // What ends a sequence as a token is not part of its text.
    const bool is_text = event.finish != FinishReason::kEos && event.finish != FinishReason::kStopToken;
    if (is_text) delta.text = choice.text.Push(*event.token_id, choice.num_tokens);
    if (request_.logprobs.output_top_n >= 0) {
      delta.logprobs.push_back(MakeScored(model, *event.token_id, event.logprob, event.rank, event.top_logprobs));
    }
  }
  for (size_t t = 0; t < event.prompt_logprobs.size(); ++t) {
    const TokenLogprob& scored = event.prompt_logprobs[t];
    delta.prompt_logprobs.push_back(MakeScored(
        model, scored.token_id, t == 0 ? std::nullopt : std::optional<float>(scored.logprob), t == 0 ? 0 : scored.rank,
        t < event.prompt_top.size() ? event.prompt_top[t] : std::vector<TokenLogprob>()));
  }
  if (event.finished() && event.status.ok()) delta.text += choice.text.Finish(event.finish);
  delta.completion_tokens = choice.num_tokens;
  if (delta.token_ids.empty() && delta.text.empty() && delta.prompt_logprobs.empty()) return;
  listener_->OnDelta(std::move(delta));
}

void Generation::OnChoiceEnd(const TokenEvent& event, ChoiceState& choice) {
  choice.done = true;
  ++num_done_;
  totals_.device_seconds += event.usage.device_seconds;
  totals_.num_preemptions += event.usage.num_preemptions;
  totals_.queue_seconds = std::max(totals_.queue_seconds, event.usage.queue_seconds);
  totals_.prefill_seconds = std::max(totals_.prefill_seconds, event.usage.prefill_seconds);
  totals_.decode_seconds = std::max(totals_.decode_seconds, event.usage.decode_seconds);
  if (event.status.ok()) {
    listener_->OnFinished({event.index, event.finish, event.matched_stop});
  } else if (status_.ok()) {
    // One choice's end by error is the request's: the others stop within a step.
    status_ = FromEngine(event.status, call_->route.model, call_->route.variant);
    cancelled_->store(true, std::memory_order_relaxed);
    call_->variant->instance->NotifyCancel();
  }
  if (num_done_ == static_cast<int>(choices_.size())) Complete();
}

void Generation::Complete() {
  const TimePoint now = context_.clock->Now();
  totals_.total_seconds = ToSeconds(now - request_.context.arrival);
  if (status_.code() == StatusCode::kCancelled) status_ = CancelReason();
  status_ = WithDeadline(status_, request_.context, now);
  PriceCall(context_.prices, *call_->variant, &totals_);
  ReportCall(context_, request_.context, &*call_, status_, totals_, &inter_token_seconds_);
  {
    MutexLock lock(&mutex_);
    cancellable_ = nullptr;
  }
  call_.reset();
  listener_->OnEnd(status_, totals_);
  service_->Release();
}

}  // namespace

GenerationService::GenerationService(ServingContext context, int frontend_threads, int max_in_flight)
    : context_(std::move(context)),
      max_in_flight_(max_in_flight),
      frontend_(std::make_unique<TaskPool>(frontend_threads, kFrontendQueue)) {}

GenerationService::~GenerationService() {
  {
    MutexLock lock(&mutex_);
    admitting_ = false;
    while (in_flight_ > 0) idle_.Wait(&mutex_);
  }
  frontend_.reset();
}

std::shared_ptr<CallHandle> GenerationService::Generate(GenerationRequest request,
                                                        std::shared_ptr<GenerationListener> listener) {
  auto generation = std::make_shared<Generation>(this, std::move(request), std::move(listener));
  if (const Status status = Admit(); !status.ok()) {
    generation->Refuse(status, /*admitted=*/false);
  } else if (const Status posted = Post([generation] { generation->Prepare(); }); !posted.ok()) {
    generation->Refuse(posted, /*admitted=*/true);
  }
  return generation;
}

Status GenerationService::Admit() {
  MutexLock lock(&mutex_);
  if (!admitting_) return DrainingError();
  if (in_flight_ >= max_in_flight_) {
    return BusyError(fmt::format("{} requests are running, which is the limit", in_flight_), "max_in_flight");
  }
  ++in_flight_;
  return OkStatus();
}

void GenerationService::Release() {
  MutexLock lock(&mutex_);
  if (--in_flight_ == 0) idle_.SignalAll();
}

Status GenerationService::Post(std::function<void()> task) {
  if (frontend_->Post(std::move(task))) return OkStatus();
  return BusyError("too many requests are waiting to be read", "frontend_queue");
}

uint64_t GenerationService::NextSequenceIds(int count) {
  MutexLock lock(&mutex_);
  const uint64_t first = next_sequence_;
  next_sequence_ += static_cast<uint64_t>(count);
  return first;
}

void GenerationService::StopAdmission() {
  MutexLock lock(&mutex_);
  admitting_ = false;
}

bool GenerationService::admitting() const {
  MutexLock lock(&mutex_);
  return admitting_;
}

int GenerationService::in_flight() const {
  MutexLock lock(&mutex_);
  return in_flight_;
}

}  // namespace bitrate
