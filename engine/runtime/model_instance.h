// One engine thread with one copy of a variant's weights and a KV budget. It owns all sequences, the scheduler, block
// tables and the KV cache; the rest of the process talks to it through a bounded inbox drained once a step.
//
// Each step: drain the inbox -> drop cancelled and expired sequences -> Scheduler::Schedule -> lease the pool ->
// forward, sample -> emit events in one batch to the delivery thread. CPU instances share one ComputePool by whole
// steps.
//
// Thread rule: every public method is thread-safe. Destruction joins both threads after failing what is left.
// States: LOADING is the server's; an instance is READY -> DRAINING -> STOPPED, or FAILED after a sticky step error
// (every sequence then ends with that error; other instances are untouched).
#ifndef BITRATE_ENGINE_RUNTIME_MODEL_INSTANCE_H_
#define BITRATE_ENGINE_RUNTIME_MODEL_INSTANCE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/compute_pool.h"
#include "engine/base/status.h"
#include "engine/model/decoder_model.h"
#include "engine/runtime/observer.h"
#include "engine/runtime/token_sink.h"
#include "engine/sampling/sampling_params.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

// Set by any thread, read by the engine at step boundaries (relaxed: a late reading costs one step, nothing more).
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct SequenceSpec {
  uint64_t id = 0;  // unique in the process, chosen by the submitter
  int choice_index = 0;
  std::vector<int32_t> prompt;  // not empty, ids < V, prompt + max_tokens <= context
  SamplingParams sampling;
  StopParams stop;
  LogprobParams logprobs;
  int priority = 1;  // class 0 (most urgent) .. limits::kMaxPriority
  TimePoint arrival{};
  TimePoint deadline = kNoDeadline;        // DEADLINE_EXCEEDED, queued or running
  TimePoint queue_deadline = kNoDeadline;  // DEADLINE_EXCEEDED if not scheduled by then
  std::shared_ptr<const Adapter> adapter;  // of this instance's model; null = none. Lives as long as the sequence
  std::string cache_salt;                  // seeds the prefix hash chain, with the adapter: tenants do not share KV
  bool use_prefix_cache = true;
  CancelFlag cancelled;  // may be null
  std::shared_ptr<TokenSink> sink;
};

struct InstanceOptions {
  std::string name;                    // "smollm2:int4", for threads and messages
  int max_sequences = 16;              // running at once
  int max_step_tokens = 256;           // chunked-prefill budget of a step, decodes included
  double step_budget_ms = 40;          // time that prefill may make the decodes of a step wait, with them; 0 = no limit
  int max_queue = 256;                 // waiting sequences before RESOURCE_EXHAUSTED
  int64_t max_queue_tokens = 1 << 20;  // waiting prompt tokens before RESOURCE_EXHAUSTED
  uint64_t kv_bytes = 0;               // budget; 0 = max_sequences full contexts, at most 1 GiB
  bool prefix_cache = true;
  double pool_weight = 1.0;  // share of the pool's device time under contention
};

class ModelInstance {
 public:
  enum class State { kReady, kDraining, kStopped, kFailed };

  // Runs a warm-up step before returning. `tokenizer` may be null (stop strings are then refused), `observer` may be
  // null; pointers must outlive the instance. RESOURCE_EXHAUSTED when a kv_bytes that was set does not hold one full
  // context (the default budget shortens the context instead).
  static StatusOr<std::unique_ptr<ModelInstance>> Start(std::shared_ptr<const DecoderModel> model,
                                                        std::shared_ptr<const Tokenizer> tokenizer, ComputePool* pool,
                                                        const Clock* clock, InstanceObserver* observer,
                                                        const InstanceOptions& options);
  virtual ~ModelInstance() = default;

  // All of `sequences` (the n choices of a request) are queued, or none and no event is ever sent for them:
  // RESOURCE_EXHAUSTED queue full; UNAVAILABLE draining, stopped or failed; INVALID_ARGUMENT could never fit the KV
  // pool.
  virtual Status Submit(std::vector<SequenceSpec> sequences) = 0;

  // Wakes the engine so that a cancel flag just set is seen even when it waits for work.
  virtual void NotifyCancel() = 0;

  // Stops admission; sequences that were admitted or queued go on. Done when idle (poll state) or when `deadline`
  // passes: what is left then ends with UNAVAILABLE.
  virtual void Drain(TimePoint deadline) = 0;

  virtual State state() const = 0;
  virtual InstanceGauges gauges() const = 0;
  virtual uint64_t kv_bytes() const = 0;
  virtual int64_t max_context() const = 0;  // min(model context, tokens the KV pool holds)
  // Time of the last finished step, and whether there is work: the liveness check.
  virtual bool HasWork() const = 0;
  virtual TimePoint last_progress() const = 0;
  // Device-seconds the pool clocked for this instance.
  virtual double LeasedSeconds() const = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_MODEL_INSTANCE_H_
