// One sequence as the scheduler sees it: its tokens, how many of them have their KV computed, its blocks and its state.
//
//   WAITING --Admit--> RUNNING --Finish--> FINISHED
//      |                |   ^                 ^
//      |         Preempt|   |Admit            |
//      |         Restart|   |                 |
//      |                v   |                 |
//      +--Finish        PREEMPTED --Finish----+
//
// A preempted sequence keeps its tokens, gives up its blocks and computes them again as prefill when it is admitted. A
// restarted one does the same, because what it has computed is of no use any more; that is not counted as a preemption.
// Thread rule: engine thread. A transition that is not drawn is a programmer error. Times are nanoseconds as values.
#ifndef BITRATE_ENGINE_RUNTIME_SEQUENCE_H_
#define BITRATE_ENGINE_RUNTIME_SEQUENCE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/kv/block_table.h"
#include "engine/kv/prefix_index.h"

namespace bitrate {

enum class SequenceState : uint8_t { kWaiting, kRunning, kPreempted, kFinished };

struct SequenceInit {
  uint64_t id = 0;
  uint64_t ticket = 0;  // order of arrival, unique
  uint64_t group = 0;   // the choices of one request share a group and a prompt
  int priority = 0;     // class, 0 = most urgent
  int64_t arrival_ns = 0;
  std::vector<int32_t> prompt;   // not empty
  int64_t max_total_tokens = 0;  // prompt and output together never exceed this
  std::string cache_seed;
  bool read_cache = true;      // may use cached blocks
  bool register_cache = true;  // may leave its blocks to others
};

class Sequence {
 public:
  explicit Sequence(SequenceInit init);
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  virtual ~Sequence() = default;

  uint64_t id() const { return init_.id; }
  uint64_t ticket() const { return init_.ticket; }
  uint64_t group() const { return init_.group; }
  int priority() const { return init_.priority; }
  int64_t max_total_tokens() const { return init_.max_total_tokens; }
  bool read_cache() const { return init_.read_cache; }
  bool register_cache() const { return init_.register_cache; }
  const std::string& cache_seed() const { return cache_seed_; }
  SequenceState state() const { return state_; }
  bool running() const { return state_ == SequenceState::kRunning; }

  std::span<const int32_t> tokens() const { return tokens_; }
  std::span<const int32_t> prompt() const { return {tokens_.data(), static_cast<size_t>(num_prompt_)}; }
  std::span<const int32_t> output() const { return std::span<const int32_t>(tokens_).subspan(num_prompt_); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t num_prompt() const { return num_prompt_; }
  int64_t num_output() const { return num_tokens() - num_prompt_; }
  int64_t num_computed() const { return num_computed_; }  // leading tokens whose KV is in the blocks
  int64_t num_pending() const { return num_tokens() - num_computed_; }
  int64_t high_water() const { return high_water_; }      // most tokens ever computed: below it, work is repeated
  int64_t first_cached() const { return first_cached_; }  // tokens found in the cache at the first admission
  int num_preemptions() const { return num_preemptions_; }
  bool ever_admitted() const { return ever_admitted_; }
  // One new token to compute behind known ones: a decode. Everything else is prefill.
  bool in_decode() const { return num_pending() == 1 && num_computed_ >= num_prompt_ && num_computed_ >= high_water_; }

  // Total time spent waiting, the current wait included: what aging counts. Running time does not age.
  int64_t waited_ns(int64_t now_ns) const { return waited_ns_ + (running() ? 0 : now_ns - wait_start_ns_); }

  // `num_cached` leading tokens are in the blocks of `table` already.
  void Admit(int64_t now_ns, int64_t num_cached);
  void Preempt(int64_t now_ns);  // the table must be empty by then
  // The same, and what it computes from here on is found and left in the prefix cache under `cache_seed`.
  void Restart(int64_t now_ns, std::string cache_seed);
  void Finish();
  void Advance(int64_t num_tokens);
  void Append(int32_t token);

  // Owned by the scheduler.
  BlockTable table;
  PrefixCursor cursor;
  int num_registered = 0;  // leading blocks that are nodes of the prefix index
  int num_hits = 0;        // of these, how many came from it at the last admission
  uint64_t last_planned_step = 0;

 private:
  void GiveUpComputed(int64_t now_ns);

  const SequenceInit init_;
  std::string cache_seed_;
  SequenceState state_ = SequenceState::kWaiting;
  std::vector<int32_t> tokens_;
  const int64_t num_prompt_;
  int64_t num_computed_ = 0;
  int64_t high_water_ = 0;
  int64_t first_cached_ = 0;
  int64_t wait_start_ns_;
  int64_t waited_ns_ = 0;
  int num_preemptions_ = 0;
  bool ever_admitted_ = false;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_SEQUENCE_H_
