// An engine for tests of the server: sequences of known tokens, at once or held back, with errors on demand.
//
// Token k of a sequence (from 1) is (last prompt id + k) mod V, with logprob -k; the score of prompt position t is -t
// and rank 1. A sequence ends by length at max_tokens (default 4).
#ifndef BITRATE_TESTS_UNIT_SERVER_FAKE_ENGINE_H_
#define BITRATE_TESTS_UNIT_SERVER_FAKE_ENGINE_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/mutex.h"
#include "server/serving_variant.h"

namespace bitrate {

inline constexpr int64_t kFakeVocab = 1000;
inline constexpr int64_t kFakeContext = 64;

// How the fake engines of a test behave; shared by all of them.
class FakeControl {
 private:
  template <typename F>
  void Set(F f) {
    MutexLock lock(&mutex_);
    f();
    changed_.SignalAll();
  }
  template <typename F>
  auto Get(F f) const -> decltype(f()) {
    MutexLock lock(&mutex_);
    return f();
  }

 public:
  void Hold() {
    Set([this] { held_ = true; });
  }
  void Release() {
    Set([this] { held_ = false; });
  }
  void FailSubmit(Status status) {
    Set([&] { submit_error_ = std::move(status); });
  }
  void FailSequences(Status status) {
    Set([&] { sequence_error_ = std::move(status); });
  }
  void FailLoad(const std::string& variant, Status status) {
    Set([&] { load_errors_[variant] = std::move(status); });
  }
  void FailOpen(Status status) {
    Set([&] { open_error_ = std::move(status); });
  }
  void Break() {
    Set([this] { broken_ = true; });
  }
  int submitted() const {
    return Get([this] { return submitted_; });
  }
  std::vector<SequenceSpec> specs() const {
    return Get([this] { return specs_; });
  }
  int live() const {
    return Get([this] { return live_; });
  }

 private:
  friend class FakeInstance;
  friend class FakeLoader;
  mutable Mutex mutex_;
  CondVar changed_;
  bool held_ = false, broken_ = false;
  Status submit_error_, sequence_error_, open_error_;
  std::map<std::string, Status> load_errors_;
  int submitted_ = 0, live_ = 0;
  std::vector<SequenceSpec> specs_;  // without sinks
};

class FakeInstance final : public ModelInstance {
 public:
  explicit FakeInstance(FakeControl* control) : control_(control), thread_([this] { Run(); }) {
    control_->Set([this] { ++control_->live_; });
  }
  ~FakeInstance() override {
    control_->Set([this] { stop_ = true; });
    thread_.join();
    control_->Set([this] { --control_->live_; });
  }
  Status Submit(std::vector<SequenceSpec> sequences) override {
    Status status;
    control_->Set([&] {
      status = control_->submit_error_;
      if (draining_) status = Unavailable("draining");
      if (!status.ok()) return;
      for (SequenceSpec& spec : sequences) {
        ++control_->submitted_;
        SequenceSpec copy = spec;
        copy.sink = nullptr;
        control_->specs_.push_back(std::move(copy));
        queue_.push_back(std::move(spec));
      }
    });
    return status;
  }
  void NotifyCancel() override {
    control_->Set([] {});
  }
  void Drain(TimePoint deadline) override {
    control_->Set([&] {
      draining_ = true;
      drain_deadline_ = deadline;
    });
  }
  State state() const override {
    return control_->Get([this] {
      if (control_->broken_) return State::kFailed;
      if (!draining_) return State::kReady;
      return queue_.empty() && running_ == 0 ? State::kStopped : State::kDraining;
    });
  }
  InstanceGauges gauges() const override {
    InstanceGauges gauges;
    gauges.running = control_->Get([this] { return running_; });
    return gauges;
  }
  uint64_t kv_bytes() const override { return 1 << 20; }
  int64_t max_context() const override { return kFakeContext; }
  bool HasWork() const override {
    return control_->Get([this] { return !queue_.empty() || running_ > 0; });
  }
  TimePoint last_progress() const override { return Clock::System()->Now(); }
  double LeasedSeconds() const override { return 1.5; }

 private:
  static bool Ended(const SequenceSpec& spec) {
    return spec.cancelled && spec.cancelled->load(std::memory_order_relaxed);
  }

  // The sequence to work on next: any that can move, else none until something changes.
  bool Take(SequenceSpec* spec, Status* end) {
    MutexLock lock(&control_->mutex_);
    while (true) {
      const TimePoint now = Clock::System()->Now();
      TimePoint wake = now + std::chrono::milliseconds(20);
      for (auto it = queue_.begin(); it != queue_.end(); ++it) {
        *end = OkStatus();
        if (Ended(*it)) {
          *end = Cancelled("cancelled");
        } else if (now >= it->deadline || now >= it->queue_deadline) {
          *end = DeadlineExceeded("the deadline passed");
        } else if (draining_ && now >= drain_deadline_) {
          *end = Unavailable("the instance is draining");
        } else if (control_->held_) {
          continue;
        } else {
          *end = control_->sequence_error_;
        }
        *spec = std::move(*it);
        queue_.erase(it);
        ++running_;
        return true;
      }
      if (stop_) return false;
      control_->changed_.WaitUntil(&control_->mutex_, wake);
    }
  }

  void Run() {
    SequenceSpec spec;
    Status end;
    while (Take(&spec, &end)) {
      Deliver(spec, end);
      spec = {};
      control_->Set([this] { --running_; });
    }
  }

  static FinishReason ReasonOf(const Status& status) {
    if (status.ok()) return FinishReason::kLength;
    if (status.code() == StatusCode::kCancelled) return FinishReason::kCancelled;
    return status.code() == StatusCode::kDeadlineExceeded ? FinishReason::kDeadline : FinishReason::kError;
  }

  void Deliver(const SequenceSpec& spec, const Status& end) {
    const int count = end.ok() ? spec.stop.max_tokens.value_or(4) : 0;
    for (int k = 1; k <= std::max(count, 1); ++k) {
      TokenEvent event;
      event.sequence_id = spec.id;
      event.index = spec.choice_index;
      event.time = Clock::System()->Now();
      event.first_scheduled = end.ok() && k == 1;
      if (k <= count) {
        event.token_id = static_cast<int32_t>((spec.prompt.back() + k) % kFakeVocab);
        event.logprob = static_cast<float>(-k);
        event.rank = 1;
        for (int t = 0; t < spec.logprobs.output_top_n; ++t) event.top_logprobs.push_back({t, -1.0f, t + 1});
      }
      if (end.ok() && k == 1 && spec.logprobs.prompt_top_n >= 0) {
        for (size_t t = 0; t < spec.prompt.size(); ++t) {
          event.prompt_logprobs.push_back({spec.prompt[t], -static_cast<float>(t), 1});
        }
        event.prompt_top.resize(spec.prompt.size());
      }
      if (k >= count) {
        event.finish = ReasonOf(end);
        event.status = end;
        event.usage.prompt_tokens = static_cast<int>(spec.prompt.size());
        event.usage.completion_tokens = count;
        event.usage.device_seconds = 0.25;
        event.usage.queue_seconds = 0.5;
      }
      const bool finished = event.finished();
      spec.sink->OnEvent(std::move(event));
      if (finished) return;
    }
  }

  FakeControl* const control_;
  std::deque<SequenceSpec> queue_;
  int running_ = 0;
  bool stop_ = false, draining_ = false;
  TimePoint drain_deadline_ = kNoDeadline;
  std::thread thread_;
};

class FakeLoader final : public ModelLoader {
 public:
  explicit FakeLoader(FakeControl* control) : control_(control) {}
  StatusOr<std::shared_ptr<const ModelResources>> Open(const ModelSettings& settings) override {
    const Status error = control_->Get([this] { return control_->open_error_; });
    if (!error.ok()) return error;
    auto model = std::make_shared<ModelResources>();
    model->name = settings.name;
    model->architecture = "fake";
    model->digest = "d";
    model->vocab_size = kFakeVocab;
    model->max_context = kFakeContext;
    model->eos_ids = {7};
    return std::shared_ptr<const ModelResources>(model);
  }
  StatusOr<MemoryEstimate> Estimate(const ModelResources&, const VariantSettings&) override {
    return MemoryEstimate{100, 50};
  }
  StatusOr<LoadedVariant> Load(const ModelResources&, const VariantSettings& settings, InstanceObserver*,
                               const ProgressFn& progress) override {
    const Status error = control_->Get([&] {
      const auto it = control_->load_errors_.find(settings.name);
      return it == control_->load_errors_.end() ? OkStatus() : it->second;
    });
    if (!error.ok()) return error;
    if (progress) progress("load", 1, 1);
    LoadedVariant loaded;
    loaded.instance = std::make_unique<FakeInstance>(control_);
    loaded.info.precision = settings.precision;
    loaded.info.weight_bits = 8;
    loaded.info.unique_weight_bytes = 100;
    loaded.info.kv_bytes = 50;
    loaded.max_context = kFakeContext;
    return loaded;
  }

 private:
  FakeControl* const control_;
};

inline ModelSettings FakeModel(const std::string& name, const std::vector<std::string>& variants) {
  ModelSettings model;
  model.name = name;
  for (const std::string& variant : variants) {
    VariantSettings settings;
    settings.name = settings.precision = variant;
    model.variants.push_back(settings);
  }
  model.default_variant = variants.front();
  return model;
}

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_SERVER_FAKE_ENGINE_H_
