#include "engine/runtime/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace bitrate {

Sequence::Sequence(SequenceInit init)
    : init_([&] {
        SequenceInit rest = init;
        rest.prompt.clear();
        rest.cache_seed.clear();
        return rest;
      }()),
      cache_seed_(std::move(init.cache_seed)),
      tokens_(std::move(init.prompt)),
      num_prompt_(static_cast<int64_t>(tokens_.size())),
      wait_start_ns_(init.arrival_ns) {
  BITRATE_CHECK(num_prompt_ > 0 && num_prompt_ <= init_.max_total_tokens);
}

void Sequence::Admit(int64_t now_ns, int64_t num_cached) {
  BITRATE_CHECK(state_ == SequenceState::kWaiting || state_ == SequenceState::kPreempted);
  BITRATE_CHECK(num_cached >= 0 && num_cached < num_tokens());
  waited_ns_ += now_ns - wait_start_ns_;
  state_ = SequenceState::kRunning;
  num_computed_ = num_cached;
  if (!ever_admitted_) first_cached_ = num_cached;
  ever_admitted_ = true;
  high_water_ = std::max(high_water_, num_cached);
}

void Sequence::GiveUpComputed(int64_t now_ns) {
  BITRATE_CHECK(state_ == SequenceState::kRunning && table.empty());
  state_ = SequenceState::kPreempted;
  wait_start_ns_ = now_ns;
  num_computed_ = 0;
  num_registered = 0;
  num_hits = 0;
}

void Sequence::Preempt(int64_t now_ns) {
  GiveUpComputed(now_ns);
  ++num_preemptions_;
}

void Sequence::Restart(int64_t now_ns, std::string cache_seed) {
  GiveUpComputed(now_ns);
  cache_seed_ = std::move(cache_seed);
}

void Sequence::Finish() {
  BITRATE_CHECK(state_ != SequenceState::kFinished && table.empty());
  state_ = SequenceState::kFinished;
}

void Sequence::Advance(int64_t num_tokens) {
  BITRATE_CHECK(state_ == SequenceState::kRunning && num_tokens > 0 && num_tokens <= num_pending());
  num_computed_ += num_tokens;
  high_water_ = std::max(high_water_, num_computed_);
}

void Sequence::Append(int32_t token) {
  BITRATE_CHECK(state_ == SequenceState::kRunning && num_pending() == 0);
  BITRATE_CHECK(static_cast<int64_t>(tokens_.size()) < init_.max_total_tokens);
  tokens_.push_back(token);
}

}  // namespace bitrate
