// Runs a list of sequences on one variant, a window of them at a time, and gathers what they give: the work horse of
// Score and Compare.
//
// Thread rule: Start and Cancel from any thread; `done` is called once, on the delivery thread of the instance, or on
// the caller's when nothing could be submitted. After an error the rest is cancelled and the first error is the result.
#ifndef BITRATE_SERVER_SEQUENCE_BATCH_H_
#define BITRATE_SERVER_SEQUENCE_BATCH_H_

#include <functional>
#include <memory>
#include <vector>

#include "engine/base/mutex.h"
#include "server/serving_variant.h"

namespace bitrate {

struct SequenceResult {
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs;                // of token_ids, where asked for
  std::vector<TokenLogprob> prompt_logprobs;  // where asked for; entry 0 is empty
  std::vector<std::vector<TokenLogprob>> prompt_top;
  FinishReason finish = FinishReason::kNone;
  SequenceUsage usage;
  TimePoint first_token{};
};

class SequenceBatch final : public TokenSink, public std::enable_shared_from_this<SequenceBatch> {
 public:
  using DoneFn = std::function<void(const Status& status, std::vector<SequenceResult> results)>;

  // Ids, sinks and cancel flags of `sequences` are set here; `first_id` starts sequences.size() ids.
  static std::shared_ptr<SequenceBatch> Start(std::shared_ptr<ServingVariant> variant,
                                              std::vector<SequenceSpec> sequences, uint64_t first_id, int window,
                                              CancelFlag cancelled, DoneFn done);
  void OnEvent(TokenEvent event) override;

 private:
  SequenceBatch() = default;
  void SubmitNext();
  void Settle(const Status& status);  // one submitted sequence ended

  std::shared_ptr<ServingVariant> variant_;
  uint64_t first_id_ = 0;
  CancelFlag cancelled_;
  std::vector<SequenceResult> results_;  // each written by its own events only, until all have ended

  Mutex mutex_;
  std::vector<SequenceSpec> sequences_ GUARDED_BY(mutex_);
  size_t next_ GUARDED_BY(mutex_) = 0;
  int outstanding_ GUARDED_BY(mutex_) = 0;
  Status error_ GUARDED_BY(mutex_);
  DoneFn done_ GUARDED_BY(mutex_);
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_SEQUENCE_BATCH_H_
