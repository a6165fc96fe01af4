#include "tests/unit/runtime/simulation.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/runtime/engine_core.h"
#include "tests/unit/runtime/simulation_parts.h"
#include "tests/unit/runtime/stub_model.h"

namespace bitrate {
namespace {

class Simulation {
 public:
  Simulation(OpSource& ops, Plant plant);
  std::string Run(SimulationStats* stats);

 private:
  void Submit();
  SequenceSpec RandomSpec();
  void Step();
  double StepSeconds(const StepWork& work);
  void CancelOne();
  void Deliver();
  void CheckPlan();
  void CheckTimeBudget();
  void CheckAll();
  void CheckTenants();
  void CheckClient(const Client& client);
  void CheckEnd();
  uint32_t Pick(uint32_t bound) { return ops_.Next(bound); }
  bool Chance(uint32_t percent) { return Pick(100) < percent; }
  void Fail(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  OpSource& ops_;
  StubModel::Shape shape_;
  SchedulerOptions options_;
  StepTimeCoefficients machine_;  // the truth, which the engine has to learn
  Totals totals_;
  StubModel* model_ = nullptr;
  std::unique_ptr<EngineCore> core_;
  InlineParallel parallel_;
  TimePoint now_{std::chrono::seconds(1000)};
  std::vector<Client> clients_;
  int64_t steps_ = 0;
  int64_t time_limited_ = 0;  // steps whose prefill the time budget cut
  int steps_without_prefill_ = 0;
  int64_t work_bound_ = 16;
  bool fail_next_ = false;
  bool steps_failed_ = false;
  bool drained_ = false;
  std::string wrong_;
};

Simulation::Simulation(OpSource& ops, Plant plant) : ops_(ops) {
  shape_.block_tokens = 1 << Pick(4);
  shape_.num_blocks = 3 + static_cast<int>(Pick(24));
  shape_.max_context = std::min<int>(shape_.num_blocks * shape_.block_tokens, 8 + static_cast<int>(Pick(56)));
  options_.max_sequences = 1 + static_cast<int>(Pick(6));
  options_.max_step_tokens = 1 + static_cast<int>(Pick(24));
  options_.aging_ns = 1'000'000 * (1 + static_cast<int64_t>(Pick(200)));
  options_.max_preemptions = 1 + static_cast<int>(Pick(3));
  options_.prefill_every = 2 + static_cast<int>(Pick(4));
  options_.prefix_cache = !Chance(25);
  // From budgets that the decodes alone exceed to such that never bind.
  if (Chance(60)) options_.step_budget_seconds = 1e-3 * (1 + Pick(20));
  options_.min_prefill_tokens = 1 + static_cast<int>(Pick(8));
  machine_.step = 1e-4 * (1 + Pick(20));
  machine_.prefill_token = 1e-5 * (1 + Pick(100));
  machine_.decode_token = 1e-5 * Pick(100);
  machine_.attended_token = 1e-7 * Pick(20);
  if (Chance(30)) shape_.rope_switch = 1 + static_cast<int>(Pick(shape_.max_context));
  auto model = std::make_unique<StubModel>(shape_);
  model_ = model.get();
  model_->on_forward = [this](const StepInput&) {
    if (!std::exchange(fail_next_, false)) return OkStatus();
    return Internal("planned failure");
  };
  std::unique_ptr<BlockAllocator> allocator;
  if (plant != Plant::kNone) {
    const int skip = plant == Plant::kSkipFree ? static_cast<int>(Pick(8)) : -1;
    allocator = std::make_unique<LeakyAllocator>(shape_.num_blocks, skip);
  }
  core_ = std::make_unique<EngineCore>(std::move(model), nullptr, &totals_, "stub", options_, std::move(allocator));
}

SequenceSpec Simulation::RandomSpec() {
  SequenceSpec spec;
  // Few families of prompts, so that prefixes meet; two tenants, so that they must not.
  const auto family = static_cast<int32_t>(Pick(3));
  const int length = 1 + static_cast<int>(Pick(shape_.max_context));
  for (int i = 0; i < length; ++i) spec.prompt.push_back(3 + (i * (family + 2)) % 7);
  if (Chance(60)) spec.prompt[Pick(length)] = 10 + static_cast<int32_t>(Pick(14));
  if (Chance(3)) spec.prompt[Pick(length)] = StubModel::kNanToken;
  spec.cache_salt.assign(1, Chance(30) ? 'b' : 'a');
  spec.use_prefix_cache = !Chance(10);
  spec.priority = static_cast<int>(Pick(limits::kMaxPriority + 1));
  spec.sampling.temperature = Chance(50) ? 0.0f : 1.0f;
  spec.sampling.seed = Pick(1000);
  const int room = shape_.max_context - length;
  if (!Chance(10)) spec.stop.max_tokens = std::min<int>(room, static_cast<int>(Pick(24)));
  spec.stop.min_tokens = Chance(20) ? std::min<int>(spec.stop.max_tokens.value_or(room), 3) : 0;
  spec.stop.ignore_eos = Chance(40);
  if (Chance(10)) spec.stop.stop_token_ids = {static_cast<int32_t>(Pick(shape_.vocab_size))};
  if (Chance(15)) spec.logprobs.prompt_top_n = static_cast<int>(Pick(3));
  if (Chance(10)) spec.logprobs.output_top_n = static_cast<int>(Pick(3));
  if (Chance(10)) spec.deadline = now_ + std::chrono::milliseconds(Pick(100));
  if (Chance(10)) spec.queue_deadline = now_ + std::chrono::milliseconds(Pick(50));
  spec.cancelled = std::make_shared<std::atomic<bool>>(Chance(3));
  spec.arrival = now_;
  return spec;
}

void Simulation::Submit() {
  const int num_choices = Chance(20) ? 2 + static_cast<int>(Pick(3)) : 1;
  const SequenceSpec spec = RandomSpec();
  std::vector<SequenceSpec> request;
  for (int c = 0; c < num_choices; ++c) {
    Client client;
    client.spec = spec;
    client.spec.id = clients_.size() + 1;
    client.spec.choice_index = c;
    client.sink = std::make_shared<RecordingSink>();
    client.spec.sink = client.sink;
    if (const Status status = EngineCore::Validate(client.spec, model_->info(), false); !status.ok()) {
      return Fail(fmt::format("a good request is refused: {}", status.ToString()));
    }
    // All that it may compute, each preemption and the restart at a rope_switch included.
    work_bound_ += static_cast<int64_t>(spec.prompt.size() + spec.stop.max_tokens.value_or(shape_.max_context) + 1) *
                   (options_.max_preemptions + 2);
    request.push_back(client.spec);
    clients_.push_back(std::move(client));
  }
  core_->Add(std::move(request), now_);
}

void Simulation::CancelOne() {
  if (clients_.empty()) return;
  clients_[Pick(static_cast<uint32_t>(clients_.size()))].spec.cancelled->store(true, std::memory_order_relaxed);
}

void Simulation::Step() {
  core_->Sweep(now_);
  Deliver();
  if (!core_->HasWork()) return;
  const bool planned = core_->Plan(now_);
  CheckPlan();
  CheckTimeBudget();
  if (!planned) return Fail("there is work, and the step computes nothing");
  if (fail_next_) steps_failed_ = true;
  const double wall = StepSeconds(core_->plan().Work());
  core_->Execute(parallel_);
  now_ += std::chrono::microseconds(100 + Pick(2000));
  core_->Commit(wall, 2 * wall, now_);
  ++steps_;
  Deliver();
}

double Simulation::StepSeconds(const StepWork& work) {
  const double seconds = machine_.Predict(work) * (0.9 + 0.01 * Pick(21));
  return Chance(5) ? seconds * (2 + Pick(9)) : seconds;  // preempted
}

void Simulation::Deliver() {
  for (Delivery& delivery : core_->TakeDeliveries()) delivery.sink->OnEvent(std::move(delivery.event));
}

void Simulation::CheckPlan() {
  const StepPlan& plan = core_->plan();
  int tokens = 0;
  bool has_prefill = false;
  bool first_advances = false;
  const auto& running = core_->scheduler().running();
  for (const PlanEntry& entry : plan.entries) {
    const auto& sequence = static_cast<const LiveSequence&>(*entry.sequence);
    tokens += entry.num_tokens;
    has_prefill |= !entry.decode;
    first_advances |= entry.sequence == running.front();
    if (!sequence.running()) Fail("a sequence in the plan does not run");
    if (entry.first != sequence.num_computed() || entry.num_tokens < 1) Fail("an entry starts in the wrong place");
    if (sequence.spec.cancelled->load(std::memory_order_relaxed)) Fail("a cancelled sequence is in the batch");
    if (now_ >= sequence.spec.deadline) Fail("an expired sequence is in the batch");
    const int block_tokens = shape_.block_tokens;
    for (int64_t b = entry.first / block_tokens; b * block_tokens < entry.first + entry.num_tokens; ++b) {
      const BlockId block = sequence.table[b];
      if (core_->pool().allocator().references(block) != 1) Fail("a shared block is written");
      if (core_->pool().index().Contains(block)) Fail("a block of the prefix index is written");
    }
  }
  if (tokens > options_.max_step_tokens) Fail("the step is over its token budget");
  bool prefill_waits = false;
  for (const Sequence* s : running) prefill_waits |= !s->in_decode();
  steps_without_prefill_ = prefill_waits && !has_prefill ? steps_without_prefill_ + 1 : 0;
  if (steps_without_prefill_ >= options_.prefill_every + 1) Fail("decodes keep prefill from advancing");
  // With one token a step, decodes and prefills take turns for it.
  const bool token_left = options_.max_step_tokens > 1 && plan.num_decode_tokens < options_.max_step_tokens;
  if (!running.empty() && !first_advances && token_left) {
    Fail("the first in rank does not advance");
  }
}

// Both sides advance: prefill by its least chunk at least, however long the decodes take; and beside decodes it takes
// no more time than the budget leaves, or a third of theirs (a quarter of the step).
void Simulation::CheckTimeBudget() {
  const StepPlan& plan = core_->plan();
  if (plan.num_decode_tokens == 0) return;
  int64_t pending = 0;
  for (const Sequence* s : core_->scheduler().running()) pending += s->in_decode() ? 0 : s->num_pending();
  const int64_t tokens_left = options_.max_step_tokens - plan.num_decode_tokens;
  const int64_t least = std::min<int64_t>({options_.min_prefill_tokens, pending, tokens_left});
  if (plan.num_prefill_tokens < least) Fail("prefill gets less than its least chunk beside decodes");
  time_limited_ += plan.num_prefill_tokens < std::min(pending, tokens_left);
  const StepTimeCoefficients& time = core_->step_time();
  if (options_.step_budget_seconds == 0 || plan.num_prefill_tokens <= options_.min_prefill_tokens) return;
  StepWork decodes;
  for (const PlanEntry& entry : plan.entries) {
    if (!entry.decode) continue;
    ++decodes.decode_tokens;
    decodes.attended += static_cast<double>(entry.first + 1);
  }
  const double taken = time.Predict(decodes);
  const double left = std::max(options_.step_budget_seconds - taken, taken / 3);
  if (time.prefill_token * plan.num_prefill_tokens > left + 1e-12) Fail("prefill makes decodes wait over the budget");
}

void Simulation::CheckTenants() {
  const auto outgrown = [&](const Sequence& s) {
    return shape_.rope_switch > 0 && s.num_tokens() > shape_.rope_switch;
  };
  std::unordered_map<BlockId, const LiveSequence*> owner;
  for (const auto& sequence : core_->live()) {
    for (const BlockId block : sequence->table) {
      const auto [it, fresh] = owner.try_emplace(block, sequence.get());
      if (it->second->spec.cache_salt != sequence->spec.cache_salt) return Fail("two tenants share a block");
      if (outgrown(*it->second) != outgrown(*sequence)) return Fail("a block is shared across the rope switch");
    }
  }
}

void Simulation::CheckAll() {
  if (std::string wrong = core_->CheckInvariants(); !wrong.empty()) return Fail(std::move(wrong));
  CheckTenants();
  if (totals_.unbalanced) Fail("the costs of a step do not add up");
  if (static_cast<int64_t>(clients_.size()) != totals_.ended + static_cast<int64_t>(core_->live().size())) {
    Fail("accepted is not ended + in flight");
  }
}

void Simulation::CheckClient(const Client& client) {
  const RecordingSink& sink = *client.sink;
  const auto fail = [&](const char* what) { Fail(fmt::format("sequence {}: {}", client.spec.id, what)); };
  if (sink.finished != 1 || sink.after_end) return fail("not exactly one end, the last event");
  if (sink.admissions > 1) fail("announced twice");
  const TokenEvent& last = sink.last;
  if (last.usage.completion_tokens != static_cast<int>(sink.tokens.size())) fail("usage is not what was streamed");
  if (last.usage.num_preemptions > options_.max_preemptions) fail("preempted too often");
  const SoloResult solo = SoloRun(client.spec, shape_);
  const bool cut = last.finish == FinishReason::kCancelled || last.finish == FinishReason::kDeadline ||
                   (last.finish == FinishReason::kError && (drained_ || steps_failed_));
  if (sink.tokens.size() > solo.tokens.size() ||
      !std::equal(sink.tokens.begin(), sink.tokens.end(), solo.tokens.begin())) {
    return fail("other tokens than alone");
  }
  if (last.status.ok() == (cut || last.finish == FinishReason::kError)) fail("status and finish reason disagree");
  if (cut) return;
  if (sink.tokens.size() != solo.tokens.size() || last.finish != solo.finish) return fail("ends otherwise than alone");
  if (solo.finish == FinishReason::kError) return;
  const size_t scored = client.spec.logprobs.prompt_top_n >= 0 ? client.spec.prompt.size() : 0;
  if (sink.prompt_logprobs.size() != scored || sink.scored_late) return fail("prompt log-probabilities are incomplete");
  for (size_t t = 0; t < scored; ++t) {
    if (sink.prompt_logprobs[t].token_id != client.spec.prompt[t]) return fail("prompt log-probabilities are mixed up");
  }
}

void Simulation::CheckEnd() {
  const InstanceGauges gauges = core_->gauges();
  if (gauges.kv_blocks_used != 0) Fail("blocks are held at idle");
  for (const Client& client : clients_) CheckClient(client);
  const double slack = 1e-9 * (1 + totals_.device);
  if (std::abs(totals_.usage_charged - totals_.charged) > slack) Fail("charges of sequences and of steps differ");
  if (std::abs(totals_.usage_wasted - totals_.wasted) > slack) Fail("waste of sequences and of steps differs");
  const EngineCore::QueueRelease release = core_->TakeQueueRelease();
  if (release.num_sequences != static_cast<int>(clients_.size())) Fail("queue space was not given back");
}

std::string Simulation::Run(SimulationStats* stats) {
  const int num_ops = 8 + static_cast<int>(Pick(56));
  for (int i = 0; i < num_ops && wrong_.empty() && !ops_.exhausted(); ++i) {
    const uint32_t op = Pick(100);
    if (op < 25) {
      if (clients_.size() < 24) Submit();
    } else if (op < 90) {
      Step();
    } else if (op < 95) {
      CancelOne();
    } else if (op < 98) {
      now_ += std::chrono::milliseconds(Pick(150));  // a stall
    } else {
      fail_next_ = Chance(30);
    }
    CheckAll();
  }
  if (wrong_.empty() && Chance(10)) {
    drained_ = true;
    core_->EndAll(Unavailable("drained"), now_);
    Deliver();
    CheckAll();
  }
  const int64_t bound = steps_ + work_bound_;
  while (wrong_.empty() && core_->HasWork()) {
    Step();
    CheckAll();
    if (steps_ > bound) Fail("the work does not end");
  }
  if (wrong_.empty()) CheckEnd();
  if (stats != nullptr) {
    stats->steps += steps_;
    stats->time_limited += time_limited_;
    stats->sequences += static_cast<int64_t>(clients_.size());
    stats->tokens += totals_.completion_tokens;
    stats->preemptions += totals_.preemptions;
    stats->cached_tokens += totals_.cached_tokens;
    stats->recomputed_tokens += totals_.recomputed;
    for (const Client& client : clients_) {
      const auto prompt = static_cast<int>(client.spec.prompt.size());
      const int known = prompt + static_cast<int>(client.sink->tokens.size());
      stats->outgrown += prompt <= shape_.rope_switch && known > shape_.rope_switch + 1;
      const FinishReason finish = client.sink->last.finish;
      stats->cancelled += finish == FinishReason::kCancelled;
      stats->expired += finish == FinishReason::kDeadline;
      stats->failed += finish == FinishReason::kError;
      stats->finished +=
          finish != FinishReason::kCancelled && finish != FinishReason::kDeadline && finish != FinishReason::kError;
    }
  }
  return wrong_;
}

}  // namespace

uint32_t SeededOps::Next(uint32_t bound) {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>(((z ^ (z >> 31)) >> 32) * bound >> 32);
}

uint32_t ByteOps::Next(uint32_t bound) {
  uint32_t value = 0;
  for (uint32_t span = bound - 1; span > 0; span >>= 8) {
    value = value << 8 | (position_ < bytes_.size() ? bytes_[position_++] : 0);
  }
  return value % bound;
}

std::string RunSchedule(OpSource& ops, Plant plant, SimulationStats* stats) {
  return Simulation(ops, plant).Run(stats);
}

}  // namespace bitrate
