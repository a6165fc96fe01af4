#include "engine/runtime/engine_core.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/base/check.h"
#include "engine/model/adapter.h"

namespace bitrate {
namespace {

// A step can fail by chance (out of memory); this many in a row do not.
constexpr int kMaxFailedSteps = 3;

// The chunk that a loading variant times: long enough to fill the kernels' tiles, short enough not to delay the load.
constexpr int64_t kCalibrationTokens = 32;

int64_t ToNanoseconds(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::unique_ptr<BlockAllocator> OrNormal(std::unique_ptr<BlockAllocator> allocator, int num_blocks) {
  return allocator != nullptr ? std::move(allocator) : std::make_unique<BlockAllocator>(num_blocks);
}

}  // namespace

EngineCore::EngineCore(std::unique_ptr<StepModel> model, std::shared_ptr<const Tokenizer> tokenizer,
                       InstanceObserver* observer, std::string variant, const SchedulerOptions& options,
                       std::unique_ptr<BlockAllocator> allocator)
    : model_(std::move(model)),
      info_(model_->info()),
      tokenizer_(std::move(tokenizer)),
      observer_(observer),
      variant_(std::move(variant)),
      options_(options),
      pool_(OrNormal(std::move(allocator), info_.num_blocks), info_.block_tokens),
      scheduler_(options, &pool_),
      runner_(model_.get()),
      step_time_(info_.attention_weight) {}

Status EngineCore::Validate(const SequenceSpec& spec, const StepModelInfo& info, bool has_tokenizer) {
  const auto prompt = static_cast<int64_t>(spec.prompt.size());
  if (prompt == 0) return InvalidArgument("prompt: it is empty");
  if (prompt > info.max_context) {
    return InvalidArgument("prompt: {} tokens, at most {} fit", prompt, info.max_context);
  }
  for (const int32_t id : spec.prompt) {
    if (id < 0 || id >= info.vocab_size) {
      return InvalidArgument("prompt: token id {}, wanted 0 .. {}", id, info.vocab_size - 1);
    }
  }
  if (spec.stop.max_tokens.has_value()) {
    const int64_t max_tokens = *spec.stop.max_tokens;
    if (max_tokens < 0) return InvalidArgument("stop.max_tokens: {}, wanted at least 0", max_tokens);
    if (prompt + max_tokens > info.max_context) {
      return InvalidArgument("stop.max_tokens: {} prompt and {} new tokens, at most {} fit", prompt, max_tokens,
                             info.max_context);
    }
  }
  if (spec.priority < 0 || spec.priority > limits::kMaxPriority) {
    return InvalidArgument("priority: {}, wanted 0 .. {}", spec.priority, limits::kMaxPriority);
  }
  if (!spec.stop.stop.empty() && !has_tokenizer) {
    return InvalidArgument("stop.stop: stop strings need a tokenizer, and this model has none");
  }
  return OkStatus();
}

void EngineCore::Add(std::vector<SequenceSpec> specs, TimePoint now) {
  const uint64_t group = next_group_++;
  for (SequenceSpec& spec : specs) {
    if (spec.arrival == TimePoint{}) spec.arrival = now;
    SequenceInit init;
    init.id = spec.id;
    init.ticket = next_ticket_++;
    init.group = group;
    init.priority = spec.priority;
    init.arrival_ns = std::min(ToNanoseconds(spec.arrival), ToNanoseconds(now));
    init.prompt = std::move(spec.prompt);
    const auto prompt = static_cast<int64_t>(init.prompt.size());
    const int64_t room = info_.max_context - prompt;
    const int64_t max_output = std::min<int64_t>(spec.stop.max_tokens.value_or(room), room);
    init.max_total_tokens = prompt + max_output;
    init.cache_seed = CacheSeed(spec, prompt);
    init.register_cache = spec.use_prefix_cache;
    init.read_cache = spec.use_prefix_cache && spec.logprobs.prompt_top_n < 0;
    StopChecker stops(spec.stop, info_.eos_ids, max_output, tokenizer_);
    auto sequence = std::make_unique<LiveSequence>(std::move(init), std::move(spec), std::move(stops));
    sequence->generates = max_output > 0;
    sequence->max_output = max_output;
    sequence->usage.prompt_tokens = static_cast<int>(prompt);
    if (sequence->wants_prompt_logprobs()) {
      sequence->prompt_logprobs.resize(1);
      sequence->prompt_logprobs[0].token_id = sequence->tokens()[0];
      sequence->prompt_top.resize(1);
      sequence->num_scored = 1;
    }
    if (!broken_) scheduler_.Add(sequence.get());
    live_.push_back(std::move(sequence));
  }
}

std::string EngineCore::CacheSeed(const SequenceSpec& spec, int64_t num_tokens) const {
  const bool is_long = info_.rope_switch > 0 && num_tokens > info_.rope_switch;
  return MakePrefixSeed(variant_, spec.adapter != nullptr ? spec.adapter->id() : "", spec.cache_salt,
                        is_long ? "long" : "");
}

void EngineCore::Sweep(TimePoint now) {
  std::vector<std::pair<LiveSequence*, FinishReason>> over;
  for (const auto& sequence : live_) {
    const SequenceSpec& spec = sequence->spec;
    // Relaxed: a flag that is seen a step late costs that step and nothing else; no data is read behind it.
    if (spec.cancelled != nullptr && spec.cancelled->load(std::memory_order_relaxed)) {
      over.emplace_back(sequence.get(), FinishReason::kCancelled);
    } else if (now >= spec.deadline || (!sequence->was_scheduled && now >= spec.queue_deadline)) {
      over.emplace_back(sequence.get(), FinishReason::kDeadline);
    }
  }
  for (const auto& [sequence, finish] : over) {
    Status status = finish == FinishReason::kCancelled ? Cancelled("the request was cancelled")
                    : sequence->was_scheduled          ? DeadlineExceeded("the deadline passed while generating")
                                                       : DeadlineExceeded("the deadline passed in the queue");
    End(*sequence, finish, std::move(status), NewEvent(*sequence, now), now);
  }
  ended_.clear();
}

bool EngineCore::Plan(TimePoint now) {
  if (live_.empty()) return false;
  scheduler_.Schedule(ToNanoseconds(now), &plan_, step_time_.coefficients());
  NoteAdmissions(now);
  return !plan_.entries.empty();
}

void EngineCore::NoteAdmissions(TimePoint now) {
  int cached = 0;
  for (Sequence* admitted : plan_.admitted) {
    auto& sequence = static_cast<LiveSequence&>(*admitted);
    if (sequence.was_scheduled) continue;
    ReleaseQueueSpace(sequence);
    sequence.was_scheduled = true;
    sequence.announce = true;
    sequence.first_scheduled = now;
    sequence.usage.queue_seconds = std::max(0.0, ToSeconds(now - sequence.spec.arrival));
    sequence.usage.cached_tokens = static_cast<int>(sequence.first_cached());
    cached += sequence.usage.cached_tokens;
  }
  for (Sequence* preempted : plan_.preempted) {
    static_cast<LiveSequence*>(preempted)->usage.num_preemptions = preempted->num_preemptions();
    if (observer_ != nullptr) observer_->OnPreemption();
  }
  if (observer_ != nullptr && cached > 0) observer_->OnPromptTokens(0, cached);
}

void EngineCore::Execute(Parallel& parallel) {
  try {
    step_status_ = runner_.Run(parallel, plan_, &results_);
  } catch (const std::exception& e) {
    step_status_ = Internal("{}", e.what());
  }
}

void EngineCore::Commit(double step_seconds, double device_seconds, TimePoint now) {
  BookStep(step_seconds, device_seconds);
  if (step_status_.ok()) {
    failed_steps_ = 0;
    for (size_t i = 0; i < plan_.entries.size(); ++i) CommitEntry(plan_.entries[i], results_[i], now);
  } else {
    const Status failure = Internal("the step failed: {}", ToStd(step_status_.message()));
    for (const PlanEntry& entry : plan_.entries) {
      LiveSequence& sequence = Live(entry);
      End(sequence, FinishReason::kError, failure, NewEvent(sequence, now), now);
    }
    if (++failed_steps_ >= kMaxFailedSteps || model_->broken()) sticky_error_ = failure;
  }
  for (Sequence* admitted : plan_.admitted) {
    auto& sequence = static_cast<LiveSequence&>(*admitted);
    if (sequence.announce && sequence.state() != SequenceState::kFinished) Emit(sequence, NewEvent(sequence, now));
  }
  plan_.Clear();
  ended_.clear();
  if (observer_ != nullptr) observer_->OnGauges(gauges());
}

void EngineCore::BookStep(double step_seconds, double device_seconds) {
  StepStats stats;
  stats.step_seconds = step_seconds;
  stats.device_seconds = device_seconds;
  stats.num_sequences = static_cast<int>(plan_.entries.size());
  stats.prefill_tokens = plan_.num_prefill_tokens;
  stats.decode_tokens = plan_.num_decode_tokens;
  const StepWork work = plan_.Work();
  if (step_status_.ok()) step_time_.Observe(work, step_seconds);
  stats.time = step_time_.coefficients();
  SplitStepCost(plan_, device_seconds, stats.time.AttentionWeight(work), &costs_);
  int prompt_tokens = 0;
  for (size_t i = 0; i < plan_.entries.size(); ++i) {
    const PlanEntry& entry = plan_.entries[i];
    SequenceUsage& usage = Live(entry).usage;
    usage.prefill_device_seconds += costs_[i].prefill;
    usage.device_seconds += costs_[i].prefill + costs_[i].decode;
    usage.wasted_device_seconds += costs_[i].wasted;
    stats.charged_prefill += costs_[i].prefill;
    stats.charged_decode += costs_[i].decode;
    stats.wasted += costs_[i].wasted;
    stats.recomputed_tokens += entry.num_recomputed;
    const int64_t fresh_first = entry.first + entry.num_recomputed;
    const int64_t fresh_end = std::min(entry.first + entry.num_tokens, entry.sequence->num_prompt());
    prompt_tokens += static_cast<int>(std::max<int64_t>(0, fresh_end - fresh_first));
  }
  if (plan_.entries.empty()) stats.wasted = device_seconds;
  if (observer_ == nullptr) return;
  if (prompt_tokens > 0) observer_->OnPromptTokens(prompt_tokens, 0);
  observer_->OnStep(stats);
}

void EngineCore::CommitEntry(const PlanEntry& entry, EntryResult& result, TimePoint now) {
  LiveSequence& sequence = Live(entry);
  if (!result.status.ok()) {
    scheduler_.Forget(&sequence);
    End(sequence, FinishReason::kError, Internal("{}", ToStd(result.status.message())), NewEvent(sequence, now), now);
    return;
  }
  scheduler_.Commit(entry);
  TakeScores(sequence, result);
  if (!entry.completes) return;
  if (sequence.generates) {
    EmitToken(sequence, result, now);
    return;
  }
  TokenEvent event = NewEvent(sequence, now);
  AttachPromptLogprobs(sequence, &event);
  End(sequence, FinishReason::kLength, OkStatus(), std::move(event), now);
}

void EngineCore::TakeScores(LiveSequence& sequence, EntryResult& result) {
  if (result.scores.empty()) return;
  BITRATE_CHECK(result.first_scored == sequence.num_scored);
  for (SampleResult& score : result.scores) {
    sequence.prompt_logprobs.push_back({score.token_id, score.logprob, score.rank});
    sequence.prompt_top.push_back(std::move(score.top));
  }
  sequence.num_scored += static_cast<int64_t>(result.scores.size());
}

void EngineCore::EmitToken(LiveSequence& sequence, EntryResult& result, TimePoint now) {
  BITRATE_CHECK(result.sampled);
  const int32_t token = result.sample.token_id;
  sequence.Append(token);
  sequence.usage.completion_tokens = static_cast<int>(sequence.num_output());
  if (!sequence.has_token) {
    sequence.has_token = true;
    sequence.first_token = now;
  }
  TokenEvent event = NewEvent(sequence, now);
  AttachPromptLogprobs(sequence, &event);
  event.token_id = token;
  if (sequence.spec.logprobs.output_top_n >= 0) {
    event.logprob = result.sample.logprob;
    event.rank = result.sample.rank;
    event.top_logprobs = std::move(result.sample.top);
  }
  StopChecker::Verdict verdict = sequence.stops.OnToken(token, sequence.num_output());
  if (verdict.finish == FinishReason::kNone) {
    Emit(sequence, std::move(event));
    // All its tokens are computed anew once it outgrows its rotary factors; the recomputed ones are booked as waste.
    if (info_.rope_switch > 0 && sequence.num_tokens() == info_.rope_switch + 1) {
      scheduler_.Restart(&sequence, CacheSeed(sequence.spec, sequence.num_tokens()), ToNanoseconds(now));
    }
    return;
  }
  event.matched_stop = std::move(verdict.matched_stop);
  End(sequence, verdict.finish, OkStatus(), std::move(event), now);
}

void EngineCore::AttachPromptLogprobs(LiveSequence& sequence, TokenEvent* event) {
  if (sequence.prompt_logprobs.empty()) return;
  event->prompt_logprobs = std::exchange(sequence.prompt_logprobs, {});
  event->prompt_top = std::exchange(sequence.prompt_top, {});
}

TokenEvent EngineCore::NewEvent(LiveSequence& sequence, TimePoint now) {
  TokenEvent event;
  event.sequence_id = sequence.id();
  event.index = sequence.spec.choice_index;
  event.time = now;
  return event;
}

void EngineCore::Emit(LiveSequence& sequence, TokenEvent event) {
  event.first_scheduled = std::exchange(sequence.announce, false);
  event.usage = sequence.usage;
  deliveries_.push_back({sequence.spec.sink, std::move(event)});
}

void EngineCore::End(LiveSequence& sequence, FinishReason finish, Status status, TokenEvent event, TimePoint now) {
  SequenceUsage& usage = sequence.usage;
  if (!sequence.was_scheduled) {
    usage.queue_seconds = std::max(0.0, ToSeconds(now - sequence.spec.arrival));
    ReleaseQueueSpace(sequence);
  } else {
    const TimePoint prefill_end = sequence.has_token ? sequence.first_token : now;
    usage.prefill_seconds = ToSeconds(prefill_end - sequence.first_scheduled);
    usage.decode_seconds = ToSeconds(now - prefill_end);
  }
  event.finish = finish;
  event.status = std::move(status);
  Emit(sequence, std::move(event));
  if (!broken_) scheduler_.Remove(&sequence);
  if (observer_ != nullptr) observer_->OnSequenceFinished({sequence.id(), finish, usage});
  Retire(sequence);
}

void EngineCore::Retire(LiveSequence& sequence) {
  const auto it = std::find_if(live_.begin(), live_.end(), [&](const auto& s) { return s.get() == &sequence; });
  BITRATE_CHECK(it != live_.end());
  ended_.push_back(std::move(*it));
  live_.erase(it);
}

void EngineCore::ReleaseQueueSpace(const LiveSequence& sequence) {
  ++release_.num_sequences;
  release_.num_tokens += sequence.num_prompt();
}

Status EngineCore::WarmUp(Parallel& parallel, const Clock& clock) {
  const int64_t pool_tokens = static_cast<int64_t>(info_.num_blocks) * info_.block_tokens;
  const int64_t rows = std::min<int64_t>({options_.max_step_tokens, info_.max_context, pool_tokens});
  const int64_t chunk = std::min(rows, kCalibrationTokens);
  try {
    // The first ones touch memory; what a later step takes is seen after that. The widest step takes the memory of all
    // wide steps already in its first layer, and the rest of it would be most of the time of a start.
    RETURN_IF_ERROR(runner_.WarmUp(parallel, static_cast<int>(rows), 1));
    RETURN_IF_ERROR(runner_.WarmUp(parallel, 1));
    TimePoint start = clock.Now();
    RETURN_IF_ERROR(runner_.WarmUp(parallel, static_cast<int>(chunk)));
    step_time_.Observe({.prefill_tokens = static_cast<double>(chunk), .attended = AttendedKeys(0, chunk)},
                       ToSeconds(clock.Now() - start));
    start = clock.Now();
    RETURN_IF_ERROR(runner_.WarmUp(parallel, 1));
    step_time_.Observe({.decode_tokens = 1, .attended = 1}, ToSeconds(clock.Now() - start));
    return OkStatus();
  } catch (const std::exception& e) {
    return Internal("warm-up: {}", e.what());
  }
}

void EngineCore::BookWasted(double step_seconds, double device_seconds) {
  if (observer_ == nullptr) return;
  StepStats stats;
  stats.step_seconds = step_seconds;
  stats.device_seconds = stats.wasted = device_seconds;
  observer_->OnStep(stats);
}

void EngineCore::EndAll(const Status& status, TimePoint now, bool broken) {
  broken_ = broken_ || broken;
  while (!live_.empty()) {
    LiveSequence& sequence = *live_.front();
    End(sequence, FinishReason::kError, status, NewEvent(sequence, now), now);
  }
  plan_.Clear();
  ended_.clear();
  if (observer_ != nullptr) observer_->OnGauges(gauges());
}

InstanceGauges EngineCore::gauges() const {
  InstanceGauges gauges;
  gauges.running = static_cast<int>(scheduler_.running().size());
  gauges.waiting = scheduler_.num_waiting();
  gauges.kv_blocks_total = pool_.allocator().num_blocks();
  gauges.kv_blocks_used = pool_.allocator().num_used();
  gauges.kv_blocks_cached = pool_.allocator().num_cached();
  return gauges;
}

std::vector<Delivery> EngineCore::TakeDeliveries() { return std::exchange(deliveries_, {}); }

EngineCore::QueueRelease EngineCore::TakeQueueRelease() { return std::exchange(release_, {}); }

std::string EngineCore::CheckInvariants() const {
  if (static_cast<int>(live_.size()) != static_cast<int>(scheduler_.running().size()) + scheduler_.num_waiting()) {
    return "the scheduler knows other sequences than the engine";
  }
  return scheduler_.CheckInvariants();
}

}  // namespace bitrate
