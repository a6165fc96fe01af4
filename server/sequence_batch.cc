#include "server/sequence_batch.h"

#include <algorithm>

namespace bitrate {

std::shared_ptr<SequenceBatch> SequenceBatch::Start(std::shared_ptr<ServingVariant> variant,
                                                    std::vector<SequenceSpec> sequences, uint64_t first_id, int window,
                                                    CancelFlag cancelled, DoneFn done) {
  std::shared_ptr<SequenceBatch> batch(new SequenceBatch());
  const size_t count = sequences.size();
  batch->variant_ = std::move(variant);
  batch->first_id_ = first_id;
  batch->cancelled_ = std::move(cancelled);
  batch->results_.resize(count);
  {
    MutexLock lock(&batch->mutex_);
    batch->sequences_ = std::move(sequences);
    batch->done_ = std::move(done);
  }
  for (size_t i = 0; i < std::min(count, static_cast<size_t>(window)); ++i) batch->SubmitNext();
  return batch;
}

void SequenceBatch::SubmitNext() {
  SequenceSpec spec;
  std::shared_ptr<ServingVariant> variant;
  {
    MutexLock lock(&mutex_);
    if (!error_.ok() || next_ == sequences_.size()) return;
    spec = std::move(sequences_[next_]);
    spec.id = first_id_ + next_;
    ++next_;
    ++outstanding_;
    variant = variant_;
  }
  spec.cancelled = cancelled_;
  spec.sink = shared_from_this();
  std::vector<SequenceSpec> one;
  one.push_back(std::move(spec));
  const Status status = variant->instance->Submit(std::move(one));
  if (!status.ok()) Settle(status);
}

void SequenceBatch::OnEvent(TokenEvent event) {
  SequenceResult& result = results_[static_cast<size_t>(event.sequence_id - first_id_)];
  if (event.token_id) {
    if (result.token_ids.empty()) result.first_token = event.time;
    result.token_ids.push_back(*event.token_id);
    result.logprobs.push_back(event.logprob);
  }
  if (!event.prompt_logprobs.empty()) {
    result.prompt_logprobs = std::move(event.prompt_logprobs);
    result.prompt_top = std::move(event.prompt_top);
  }
  if (!event.finished()) return;
  result.finish = event.finish;
  result.usage = event.usage;
  if (event.status.ok()) SubmitNext();
  Settle(event.status);
}

void SequenceBatch::Settle(const Status& status) {
  DoneFn done;
  Status error;
  bool cancel_rest = false;
  std::shared_ptr<ServingVariant> variant;
  {
    MutexLock lock(&mutex_);
    --outstanding_;
    cancel_rest = error_.ok() && !status.ok() && outstanding_ > 0;
    if (error_.ok()) error_ = status;
    variant = variant_;
    if (outstanding_ == 0 && (next_ == sequences_.size() || !error_.ok())) {
      done.swap(done_);
      error = error_;
      variant_.reset();
    }
  }
  if (cancel_rest) {
    cancelled_->store(true, std::memory_order_relaxed);
    variant->instance->NotifyCancel();
  }
  if (done) done(error, std::move(results_));
}

}  // namespace bitrate
