// How measurements leave the engine: plain data, called on the engine thread, must be cheap and never block.
#ifndef BITRATE_ENGINE_RUNTIME_OBSERVER_H_
#define BITRATE_ENGINE_RUNTIME_OBSERVER_H_

#include <cstdint>

#include "engine/runtime/step_time_model.h"
#include "engine/runtime/token_sink.h"

namespace bitrate {

struct StepStats {
  double step_seconds = 0;    // wall time of the lease
  double device_seconds = 0;  // lease wall time x workers
  // device_seconds split: charged_prefill + charged_decode + wasted == device_seconds (promise 5)
  double charged_prefill = 0;
  double charged_decode = 0;
  double wasted = 0;  // recomputed prefill; warm-up and empty leases
  int num_sequences = 0;
  int prefill_tokens = 0;  // computed this step, recomputed ones included
  int decode_tokens = 0;
  int recomputed_tokens = 0;
  StepTimeCoefficients time;  // as learned up to this step
};

struct InstanceGauges {
  int running = 0;
  int waiting = 0;
  int64_t kv_blocks_total = 0;
  int64_t kv_blocks_used = 0;    // referenced by sequences
  int64_t kv_blocks_cached = 0;  // held by the prefix cache only
};

struct SequenceRecord {
  uint64_t sequence_id = 0;
  FinishReason finish = FinishReason::kNone;
  SequenceUsage usage;
};

class InstanceObserver {
 public:
  virtual ~InstanceObserver() = default;
  virtual void OnStep(const StepStats& stats) = 0;
  virtual void OnGauges(const InstanceGauges& gauges) = 0;  // after each step and when going idle
  virtual void OnPreemption() = 0;
  virtual void OnPromptTokens(int computed, int cached) = 0;
  virtual void OnSequenceFinished(const SequenceRecord& record) = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_OBSERVER_H_
