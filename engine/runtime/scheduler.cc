#include "engine/runtime/scheduler.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/base/check.h"

namespace bitrate {
namespace {

// The least share of a step's time that prefill gets beside decodes.
constexpr double kMinPrefillShare = 0.25;

// Rows that fill the tiles of the matrix kernels: those of the CPU walk 64 rows at a time, in tiles of at most 16 and
// at least 4 (linear_kernels.h), so what is over a multiple costs nearly as much as the next one.
int64_t RoundToTiles(int64_t rows) {
  const int64_t tile = rows >= 128 ? 64 : rows >= 16 ? 16 : rows >= 8 ? 8 : 1;
  return rows / tile * tile;
}

}  // namespace

void StepPlan::Clear() {
  entries.clear();
  admitted.clear();
  preempted.clear();
  num_decode_tokens = 0;
  num_prefill_tokens = 0;
}

StepWork StepPlan::Work() const {
  StepWork work;
  for (const PlanEntry& entry : entries) {
    (entry.decode ? work.decode_tokens : work.prefill_tokens) += entry.num_tokens;
    work.attended += AttendedKeys(entry.first, entry.num_tokens);
  }
  return work;
}

Scheduler::Scheduler(const SchedulerOptions& options, BlockPool* pool) : options_(options), pool_(pool) {
  BITRATE_CHECK(options.max_sequences > 0 && options.max_step_tokens > 0 && options.aging_ns > 0);
  BITRATE_CHECK(options.max_preemptions > 0 && options.prefill_every > 1 && options.min_prefill_tokens > 0);
}

Scheduler::Rank Scheduler::RankOf(const Sequence& s) const {
  if (Protected(s)) return {-1, s.ticket()};
  const int64_t aged = s.priority() - s.waited_ns(now_ns_) / options_.aging_ns;
  return {static_cast<int>(std::clamp<int64_t>(aged, 0, s.priority())), s.ticket()};
}

int64_t Scheduler::WorstCaseBlocks(const Sequence& s) const {
  return BlocksFor(s.max_total_tokens(), pool_->block_tokens());
}

void Scheduler::Enqueue(Sequence* s) {
  auto& queue = waiting_[QueueOf(*s)];
  // New arrivals go to the back at once; a preempted sequence goes back to where its arrival puts it.
  auto it = queue.end();
  while (it != queue.begin() && (*(it - 1))->ticket() > s->ticket()) --it;
  queue.insert(it, s);
  ++num_waiting_;
}

void Scheduler::Add(Sequence* sequence) {
  BITRATE_CHECK(sequence->priority() >= 0 && sequence->priority() <= limits::kMaxPriority);
  BITRATE_CHECK(WorstCaseBlocks(*sequence) <= pool_->allocator().num_blocks());
  Enqueue(sequence);
}

void Scheduler::Schedule(int64_t now_ns, StepPlan* plan, const StepTimeCoefficients& time) {
  plan->Clear();
  now_ns_ = now_ns;
  ++step_;
  const auto by_rank = [&](const Sequence* a, const Sequence* b) { return RankOf(*a).Before(RankOf(*b)); };
  std::sort(running_.begin(), running_.end(), by_rank);
  bool prefill_wanted = num_waiting_ > 0;
  for (const Sequence* s : running_) prefill_wanted |= !s->in_decode();
  // Decodes take all tokens they want, except that a prefill that got none for long gets a quarter of a step.
  const bool prefill_due = prefill_wanted && steps_without_prefill_ + 1 >= options_.prefill_every;
  decode_limit_ = options_.max_step_tokens - (prefill_due ? std::max(1, options_.max_step_tokens / 4) : 0);
  prefill_limit_ = PrefillTokensInTime(time, RunningDecodes());

  AdmitWaiting(plan);
  std::sort(running_.begin(), running_.end(), by_rank);
  PlanDecodes(plan);
  prefill_limit_ = PrefillTokensInTime(time, plan->Work());
  PlanPrefills(plan);
  if (plan->entries.empty() && !running_.empty()) {
    // Tokens were kept for a prefill that could not use them.
    decode_limit_ = options_.max_step_tokens;
    PlanDecodes(plan);
  }
  steps_without_prefill_ = prefill_wanted && plan->num_prefill_tokens == 0 ? steps_without_prefill_ + 1 : 0;
}

// Those that this step computes as far as is known before admission.
StepWork Scheduler::RunningDecodes() const {
  StepWork decodes;
  for (const Sequence* s : running_) {
    if (!s->in_decode() || decodes.decode_tokens >= decode_limit_) continue;
    ++decodes.decode_tokens;
    decodes.attended += AttendedKeys(s->num_computed(), 1);
  }
  return decodes;
}

// Prefill tokens that may be computed beside `decodes`.
int Scheduler::PrefillTokensInTime(const StepTimeCoefficients& time, const StepWork& decodes) const {
  // What a token attends to: as the first prefill in rank.
  const auto prefill =
      std::find_if(running_.begin(), running_.end(), [](const Sequence* s) { return !s->in_decode(); });
  const auto prefill_first = static_cast<double>(prefill == running_.end() ? 0 : (*prefill)->num_computed());
  const double token = time.prefill_token + time.attended_token * prefill_first;
  if (options_.step_budget_seconds <= 0 || decodes.decode_tokens == 0 || token <= 0) return options_.max_step_tokens;
  const double taken = time.Predict(decodes);
  const double left = std::max(options_.step_budget_seconds - taken, taken * kMinPrefillShare / (1 - kMinPrefillShare));
  // token x n + attended_token x n^2 / 2 <= left, written so that it also holds for attended_token 0.
  const double n = 2 * left / (token + std::sqrt(token * token + 2 * time.attended_token * left));
  const auto rows = static_cast<int64_t>(decodes.decode_tokens);
  const int64_t fits = rows + static_cast<int64_t>(std::min<double>(n, options_.max_step_tokens));
  return static_cast<int>(std::max<int64_t>(RoundToTiles(fits) - rows, options_.min_prefill_tokens));
}

// --- Admission ---

void Scheduler::AdmitWaiting(StepPlan* plan) {
  while (num_waiting_ > 0) {
    Sequence* s = NextCandidate();
    // In order of rank without overtaking: one that does not fit yet holds back those behind it, so it cannot starve.
    if (s == nullptr || !HasTokensFor(RankOf(*s)) || !MakeRoom(s, plan)) return;
    auto& queue = waiting_[QueueOf(*s)];
    queue.erase(std::find(queue.begin(), queue.end(), s));
    --num_waiting_;
    s->Admit(now_ns_, static_cast<int64_t>(s->num_hits) * pool_->block_tokens());
    running_.push_back(s);
    plan->admitted.push_back(s);
    // Room made by preemption is for the one it was made for; what was preempted is not taken in again at once.
    if (!plan->preempted.empty()) return;
  }
}

Sequence* Scheduler::NextCandidate() const {
  Sequence* best = nullptr;
  for (const auto& queue : waiting_) {
    for (Sequence* s : queue) {
      if (WaitsForSibling(*s)) continue;
      if (best == nullptr || RankOf(*s).Before(RankOf(*best))) best = s;
      break;
    }
  }
  return best;
}

bool Scheduler::WaitsForSibling(const Sequence& s) const {
  if (!options_.prefix_cache || !s.read_cache() || s.num_prompt() <= pool_->block_tokens()) return false;
  for (const Sequence* other : running_) {
    if (other->group() == s.group() && other->num_computed() < other->num_prompt() && other->register_cache()) {
      return true;
    }
  }
  return false;
}

// Tokens are left in this step after the decodes and the prefills that come before `rank`.
bool Scheduler::HasTokensFor(const Rank& rank) const {
  int64_t decodes = 0;
  int64_t prefills = 0;
  for (const Sequence* s : running_) {
    if (s->in_decode()) {
      ++decodes;
    } else if (RankOf(*s).Before(rank)) {
      prefills += s->num_pending();
    }
  }
  const int64_t left = options_.max_step_tokens - std::min<int64_t>(decodes, decode_limit_);
  return std::min<int64_t>(left, prefill_limit_) - prefills > 0;
}

bool Scheduler::ReservationFits(const Sequence& s) const {
  int64_t reserved = WorstCaseBlocks(s);
  for (const Sequence* other : running_) {
    if (Protected(*other)) reserved += WorstCaseBlocks(*other);
  }
  return reserved <= pool_->allocator().num_blocks();
}

// Fills s->table with blocks for all its tokens, cached ones first. On false the table is empty again.
bool Scheduler::MakeRoom(Sequence* s, StepPlan* plan) {
  if (Protected(*s) && !ReservationFits(*s)) return false;
  const Rank rank = RankOf(*s);
  const bool needs_slot = static_cast<int>(running_.size()) >= options_.max_sequences;
  // The common case under load, and the cheap one: full, and nobody to preempt.
  const auto yields = [&](const Sequence* other) { return Yields(*other, rank); };
  if (needs_slot && std::none_of(running_.begin(), running_.end(), yields)) return false;
  s->cursor = pool_->index().Root(s->cache_seed());
  s->num_hits = 0;
  if (options_.prefix_cache && s->read_cache()) {
    // Never the block of the last token: its row is needed, and a shared block is never written.
    const auto reusable = static_cast<int>((s->num_tokens() - 1) / pool_->block_tokens());
    s->num_hits = pool_->index().Match(s->tokens(), reusable, &s->cursor, &s->table);
  }
  s->num_registered = s->num_hits;
  const int64_t needed = BlocksFor(s->num_tokens(), pool_->block_tokens()) - static_cast<int64_t>(s->table.size());
  const int64_t missing = needed + static_cast<int64_t>(running_.size()) - pool_->num_available();
  bool fits = missing <= 0 && !needs_slot;
  if (!fits) fits = PreemptForAdmission(rank, missing, needs_slot, plan);
  if (fits && pool_->Take(needed, &s->table)) return true;
  pool_->Release(&s->table);
  s->num_hits = s->num_registered = 0;
  return false;
}

// May be preempted so that a sequence of `rank` is admitted: strictly less urgent, not merely later.
bool Scheduler::Yields(const Sequence& s, const Rank& rank) const {
  return !Protected(s) && RankOf(s).urgency > rank.urgency;
}

bool Scheduler::PreemptForAdmission(const Rank& rank, int64_t missing_blocks, bool needs_slot, StepPlan* plan) {
  // Each victim gives its own blocks, and needs no growth block any more.
  int64_t gain = 0;
  bool slot = false;
  for (const Sequence* s : running_) {
    if (!Yields(*s, rank)) continue;
    gain += pool_->NumExclusive(s->table) + 1;
    slot = true;
  }
  if (!slot || gain < missing_blocks) return false;
  while (missing_blocks > 0 || needs_slot) {
    Sequence* victim = nullptr;
    for (Sequence* s : running_) {
      if (Yields(*s, rank) && (victim == nullptr || RankOf(*victim).Before(RankOf(*s)))) victim = s;
    }
    // Blocks shared by two victims are counted for none of them: never more victims than eligible ones.
    if (victim == nullptr) return missing_blocks <= 0 && !needs_slot;
    const int before = pool_->num_available();
    Preempt(victim, plan);
    missing_blocks -= pool_->num_available() - before + 1;
    needs_slot = false;
  }
  return true;
}

void Scheduler::StopRunning(Sequence* sequence) {
  running_.erase(std::find(running_.begin(), running_.end(), sequence));
  pool_->Release(&sequence->table);
}

void Scheduler::Preempt(Sequence* victim, StepPlan* plan) {
  StopRunning(victim);
  victim->Preempt(now_ns_);
  Enqueue(victim);
  plan->preempted.push_back(victim);
}

// --- The step ---

void Scheduler::PlanDecodes(StepPlan* plan) {
  decodes_.clear();
  for (Sequence* s : running_) {
    if (s->in_decode()) decodes_.push_back(s);
  }
  if (static_cast<int>(decodes_.size()) > decode_limit_) {
    // The first in rank always; of the others those that have waited longest. Then by rank again.
    if (decodes_.size() > 1) {
      std::stable_sort(decodes_.begin() + 1, decodes_.end(), [](const Sequence* a, const Sequence* b) {
        return a->last_planned_step < b->last_planned_step;
      });
    }
    decodes_.resize(std::max(0, decode_limit_));
    std::sort(decodes_.begin(), decodes_.end(),
              [&](const Sequence* a, const Sequence* b) { return RankOf(*a).Before(RankOf(*b)); });
  }
  for (Sequence* s : decodes_) {
    // A victim is always behind the sequence it is preempted for, so it is not in the plan yet.
    if (s->running() && TakeGrowthBlock(s, plan)) AddEntry(s, 1, plan);
  }
}

bool Scheduler::TakeGrowthBlock(Sequence* s, StepPlan* plan) {
  if (BlocksFor(s->num_computed() + 1, pool_->block_tokens()) <= static_cast<int64_t>(s->table.size())) return true;
  while (!pool_->Take(1, &s->table)) {
    Sequence* victim = running_.back();  // by rank
    for (auto it = running_.rbegin(); it != running_.rend() && Protected(*victim); ++it) victim = *it;
    if (Protected(*victim) || !RankOf(*s).Before(RankOf(*victim))) return false;
    Preempt(victim, plan);
  }
  return true;
}

void Scheduler::PlanPrefills(StepPlan* plan) {
  int64_t left = std::min(options_.max_step_tokens - plan->num_decode_tokens, prefill_limit_);
  for (Sequence* s : running_) {
    if (left <= 0) return;
    if (s->in_decode()) continue;
    const auto chunk = static_cast<int>(std::min(left, s->num_pending()));
    AddEntry(s, chunk, plan);
    left -= chunk;
  }
}

void Scheduler::AddEntry(Sequence* s, int num_tokens, StepPlan* plan) {
  PlanEntry entry;
  entry.sequence = s;
  entry.first = s->num_computed();
  entry.num_tokens = num_tokens;
  entry.num_recomputed = static_cast<int>(std::clamp<int64_t>(s->high_water() - entry.first, 0, num_tokens));
  entry.decode = s->in_decode();
  entry.completes = num_tokens == s->num_pending();
  s->last_planned_step = step_;
  (entry.decode ? plan->num_decode_tokens : plan->num_prefill_tokens) += num_tokens;
  plan->entries.push_back(entry);
}

void Scheduler::Commit(const PlanEntry& entry) {
  Sequence* s = entry.sequence;
  s->Advance(entry.num_tokens);
  if (!options_.prefix_cache || !s->register_cache()) return;
  const int block_tokens = pool_->block_tokens();
  while (s->cursor.valid && static_cast<int64_t>(s->num_registered + 1) * block_tokens <= s->num_computed()) {
    const auto tokens = s->tokens().subspan(static_cast<size_t>(s->num_registered) * block_tokens, block_tokens);
    pool_->Register(tokens, s->num_registered, &s->cursor, &s->table);
    ++s->num_registered;
  }
}

void Scheduler::Forget(Sequence* sequence) {
  pool_->Forget(sequence->table);
  sequence->cursor.valid = false;
}

void Scheduler::Restart(Sequence* sequence, std::string cache_seed, int64_t now_ns) {
  StopRunning(sequence);
  sequence->Restart(now_ns, std::move(cache_seed));
  Enqueue(sequence);
}

void Scheduler::Remove(Sequence* sequence) {
  if (sequence->running()) {
    StopRunning(sequence);
  } else {
    auto& queue = waiting_[QueueOf(*sequence)];
    const auto it = std::find(queue.begin(), queue.end(), sequence);
    BITRATE_CHECK(it != queue.end());
    queue.erase(it);
    --num_waiting_;
  }
  sequence->Finish();
}

std::string Scheduler::CheckInvariants() const {
  std::vector<const BlockTable*> tables;
  int64_t reserved = 0;
  for (const Sequence* s : running_) {
    if (!s->running()) return fmt::format("sequence {} is in the running set and does not run", s->id());
    if (BlocksFor(s->num_computed(), pool_->block_tokens()) > static_cast<int64_t>(s->table.size())) {
      return fmt::format("sequence {}: {} blocks for {} computed tokens", s->id(), s->table.size(), s->num_computed());
    }
    if (static_cast<int64_t>(s->num_registered) * pool_->block_tokens() > s->num_computed()) {
      return fmt::format("sequence {} registered blocks that are not full", s->id());
    }
    if (s->num_preemptions() > options_.max_preemptions)
      return fmt::format("sequence {}: too many preemptions", s->id());
    if (Protected(*s)) reserved += WorstCaseBlocks(*s);
    tables.push_back(&s->table);
  }
  if (static_cast<int>(running_.size()) > options_.max_sequences) return "more sequences run than allowed";
  if (reserved > pool_->allocator().num_blocks()) return "the protected sequences may not all fit";
  int waiting = 0;
  for (int q = 0; q < kNumQueues; ++q) {
    uint64_t last = 0;
    for (const Sequence* s : waiting_[q]) {
      ++waiting;
      if (s->running() || !s->table.empty()) return fmt::format("sequence {} waits and holds blocks", s->id());
      if (QueueOf(*s) != q) return fmt::format("sequence {} waits in the wrong queue", s->id());
      if (s->ticket() < last) return fmt::format("sequence {} waits out of order", s->id());
      last = s->ticket();
    }
  }
  if (waiting != num_waiting_) return fmt::format("{} waiting counted, {} found", num_waiting_, waiting);
  return pool_->CheckInvariants(tables);
}

}  // namespace bitrate
