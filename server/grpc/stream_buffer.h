// The write side of a server-streaming call: a bounded buffer, one write in flight, Finish exactly once.
//
// Push never blocks and never waits for the reader: what a slow reader leaves unread is bounded by `max_bytes`, and one
// that lets the bound be reached is ended with RESOURCE_EXHAUSTED, which costs nobody else anything.
//
// Thread rule: Push and End from one thread at a time (delivery, control), OnWriteDone and OnCancel from gRPC's. State
// is under a lock, writes start after it is released; the in-flight flag keeps their order.
// Life: the owner of the call holds a shared_ptr; the buffer holds one on itself from Begin until gRPC's OnDone.
#ifndef BITRATE_SERVER_GRPC_STREAM_BUFFER_H_
#define BITRATE_SERVER_GRPC_STREAM_BUFFER_H_

#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "engine/base/mutex.h"
#include "engine/base/status.h"
#include "server/api_error.h"

namespace bitrate {

template <typename Response>
class StreamBuffer final : public grpc::ServerWriteReactor<Response> {
 public:
  // `on_stop(why)` is called (at most a few times) when the client went away or reads too slowly: the work should stop.
  // `merge(last, next)` may append `next` to `last` and return true, where fewer, larger messages say the same.
  using StopFn = std::function<void(const Status& why)>;
  using MergeFn = bool (*)(Response* last, const Response& next);
  using ToGrpcFn = std::function<grpc::Status(const Status&)>;

  static std::shared_ptr<StreamBuffer> Make(size_t max_bytes, MergeFn merge, ToGrpcFn to_grpc) {
    auto buffer = std::shared_ptr<StreamBuffer>(new StreamBuffer(max_bytes, merge, std::move(to_grpc)));
    buffer->self_ = buffer;
    return buffer;
  }

  // Calls `on_stop` at once when there was a reason already.
  void SetStop(StopFn on_stop) {
    Status why;
    {
      MutexLock lock(&mutex_);
      why = stopped_;
      if (!gone_) on_stop_ = on_stop;
    }
    if (!why.ok()) on_stop(why);
  }

  void Push(Response response) {
    StopFn stop;
    bool write = false;
    Status why;
    {
      MutexLock lock(&mutex_);
      if (!stopped_.ok() || ended_) return;
      bytes_ += response.ByteSizeLong();
      if (queue_.empty() || merge_ == nullptr || !merge_(&queue_.back(), response)) {
        queue_.push_back(std::move(response));
      }
      if (writing_ && bytes_ > max_bytes_) {  // one large message is no sign of a slow reader
        why = stopped_ = SlowReaderError(max_bytes_);
        queue_.clear();
        stop = on_stop_;
      } else {
        write = TakeNext();
      }
    }
    if (write) this->StartWrite(&current_);
    if (why.ok()) return;
    if (stop) stop(why);
    FinishOnce(why);
  }

  // The end of the stream, after what was pushed has been written.
  void End(const Status& status) {
    {
      MutexLock lock(&mutex_);
      if (ended_) return;
      ended_ = true;
      end_ = status;
      if (writing_ || !queue_.empty()) return;  // OnWriteDone goes on
    }
    FinishOnce(status);
  }

 private:
  StreamBuffer(size_t max_bytes, MergeFn merge, ToGrpcFn to_grpc)
      : max_bytes_(max_bytes), merge_(merge), to_grpc_(std::move(to_grpc)) {}

  bool TakeNext() REQUIRES(mutex_) {
    if (writing_ || queue_.empty()) return false;
    current_ = std::move(queue_.front());
    queue_.pop_front();
    bytes_ = queue_.empty() ? 0 : bytes_ - std::min(bytes_, current_.ByteSizeLong());
    writing_ = true;
    return true;
  }

  void OnWriteDone(bool ok) override {
    bool write = false, finish = false;
    Status status;
    {
      MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok) queue_.clear();  // the call is broken; OnCancel says so too
      write = TakeNext();
      finish = !write && ended_ && queue_.empty();
      status = end_;
    }
    if (write) this->StartWrite(&current_);
    if (finish) FinishOnce(status);
  }

  void OnCancel() override {
    StopFn stop;
    const Status why = Cancelled("the client went away");
    {
      MutexLock lock(&mutex_);
      if (stopped_.ok()) stopped_ = why;
      queue_.clear();
      stop = on_stop_;
    }
    if (stop) stop(why);
    // A cancelled call still needs its Finish; End brings it when the work has stopped.
  }

  void OnDone() override {
    std::shared_ptr<StreamBuffer> self;
    StopFn stop;
    {
      MutexLock lock(&mutex_);
      gone_ = true;
      stop.swap(on_stop_);  // it may hold the work, which may hold this buffer
      self.swap(self_);
    }
  }

  void FinishOnce(const Status& status) {
    {
      MutexLock lock(&mutex_);
      if (finished_) return;
      finished_ = true;
      ended_ = true;
    }
    this->Finish(to_grpc_(status));
  }

  const size_t max_bytes_;
  const MergeFn merge_;
  const ToGrpcFn to_grpc_;
  Mutex mutex_;
  std::deque<Response> queue_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  bool gone_ GUARDED_BY(mutex_) = false;
  Status end_ GUARDED_BY(mutex_);
  Status stopped_ GUARDED_BY(mutex_);
  StopFn on_stop_ GUARDED_BY(mutex_);
  std::shared_ptr<StreamBuffer> self_ GUARDED_BY(mutex_);
  Response current_;  // of the write in flight
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_STREAM_BUFFER_H_
