// What the simulation plugs into the engine: a leaky allocator, recording sinks, and totals to compare.
#ifndef BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_PARTS_H_
#define BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_PARTS_H_

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "engine/kv/block_allocator.h"
#include "engine/runtime/engine_core.h"

namespace bitrate {

// Loses one unreference: the block is never free again.
class LeakyAllocator final : public BlockAllocator {
 public:
  LeakyAllocator(int num_blocks, int skip) : BlockAllocator(num_blocks), skip_(skip) {}
  bool Unreference(BlockId block) override {
    if (count_++ == skip_ || skip_ < 0) return false;
    return BlockAllocator::Unreference(block);
  }

 private:
  const int skip_;
  int count_ = 0;
};

// What a client saw of one sequence.
class RecordingSink final : public TokenSink {
 public:
  void OnEvent(TokenEvent event) override {
    if (finished > 0) after_end = true;
    if (event.first_scheduled) ++admissions;
    if (event.token_id.has_value()) tokens.push_back(*event.token_id);
    if (!event.prompt_logprobs.empty()) {
      ++prompt_logprob_events;
      prompt_logprobs = std::move(event.prompt_logprobs);
      scored_late = tokens.size() > 1;
    }
    if (event.finished()) {
      ++finished;
      last = std::move(event);
    }
  }
  std::vector<int32_t> tokens;
  std::vector<TokenLogprob> prompt_logprobs;
  int prompt_logprob_events = 0;
  bool scored_late = false;
  int admissions = 0;
  int finished = 0;
  bool after_end = false;
  TokenEvent last;
};

class Totals final : public InstanceObserver {
 public:
  void OnStep(const StepStats& stats) override {
    device += stats.device_seconds;
    charged += stats.charged_prefill + stats.charged_decode;
    wasted += stats.wasted;
    const double booked = stats.charged_prefill + stats.charged_decode + stats.wasted;
    if (std::abs(booked - stats.device_seconds) > 1e-9 * (1 + stats.device_seconds)) unbalanced = true;
    recomputed += stats.recomputed_tokens;
    if (stats.recomputed_tokens == 0 && stats.wasted != 0) unbalanced = true;
  }
  void OnGauges(const InstanceGauges&) override {}
  void OnPreemption() override { ++preemptions; }
  void OnPromptTokens(int computed, int cached) override { cached_tokens += cached; }
  void OnSequenceFinished(const SequenceRecord& record) override {
    ++ended;
    usage_charged += record.usage.device_seconds;
    usage_wasted += record.usage.wasted_device_seconds;
    completion_tokens += record.usage.completion_tokens;
  }
  double device = 0, charged = 0, wasted = 0, usage_charged = 0, usage_wasted = 0;
  int64_t recomputed = 0, preemptions = 0, cached_tokens = 0, ended = 0, completion_tokens = 0;
  bool unbalanced = false;
};

struct Client {
  SequenceSpec spec;  // with its prompt
  std::shared_ptr<RecordingSink> sink;
};

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_PARTS_H_
