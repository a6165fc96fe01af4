// How results leave the engine. Events of a sequence arrive in order, on the instance's delivery thread, the last one
// with `finished` set, exactly once, whatever happens (promise 4).
#ifndef BITRATE_ENGINE_RUNTIME_TOKEN_SINK_H_
#define BITRATE_ENGINE_RUNTIME_TOKEN_SINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/sampling/sampler.h"

namespace bitrate {

enum class FinishReason : uint8_t { kNone, kLength, kEos, kStopToken, kStopString, kCancelled, kDeadline, kError };

struct SequenceUsage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // prompt tokens served by the prefix cache at first admission
  int completion_tokens = 0;
  int num_preemptions = 0;
  double device_seconds = 0;  // charged to this sequence: prefill + decode
  double prefill_device_seconds = 0;
  double wasted_device_seconds = 0;  // recomputed prefill after preemption: booked to the variant, not to the request
  double queue_seconds = 0;          // submit -> first scheduled
  double prefill_seconds = 0;        // first scheduled -> first token
  double decode_seconds = 0;         // first token -> finished
};

struct TokenEvent {
  uint64_t sequence_id = 0;
  int index = 0;                    // choice index
  std::optional<int32_t> token_id;  // unset for an event that only finishes (or only carries prompt logprobs)
  float logprob = 0;                // when asked for
  int rank = 0;
  std::vector<TokenLogprob> top_logprobs;
  // Prompt logprobs, once, with or before the first token: entry t scores prompt[t], entry 0 is empty.
  std::vector<TokenLogprob> prompt_logprobs;          // [prompt_tokens]; [0].token_id = prompt[0], logprob unset
  std::vector<std::vector<TokenLogprob>> prompt_top;  // [prompt_tokens]
  bool first_scheduled = false;                       // the sequence was admitted: cached_tokens of `usage` is set
  FinishReason finish = FinishReason::kNone;
  std::string matched_stop;  // the stop string, when finish is kStopString
  Status status;             // not OK when finish is kCancelled, kDeadline or kError
  SequenceUsage usage;       // complete when finished; running counts otherwise
  TimePoint time{};          // when the engine emitted it
  bool finished() const { return finish != FinishReason::kNone; }
};

// Thread rule: OnEvent is called on the delivery thread of one instance; it must not block.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void OnEvent(TokenEvent event) = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_TOKEN_SINK_H_
