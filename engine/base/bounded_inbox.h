// A bounded multi-producer queue that one consumer drains whole. Producers never block: a full inbox says so.
// Thread rule: Push and Close from any thread; Drain and WaitAndDrain from the one consumer thread.
#ifndef BITRATE_ENGINE_BASE_BOUNDED_INBOX_H_
#define BITRATE_ENGINE_BASE_BOUNDED_INBOX_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/mutex.h"

namespace bitrate {

template <typename T>
class BoundedInbox {
 public:
  enum class PushResult { kOk, kFull, kClosed };

  explicit BoundedInbox(size_t capacity) : capacity_(capacity) {}

  // On kFull and kClosed `item` is left untouched, so the caller can still answer for it.
  PushResult Push(T&& item) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (closed_) return PushResult::kClosed;
    if (items_.size() >= capacity_) return PushResult::kFull;
    items_.push_back(std::move(item));
    cv_.Signal();
    return PushResult::kOk;
  }

  // Wakes the consumer without an item (for a flag it watches).
  void Wake() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    woken_ = true;
    cv_.Signal();
  }

  // After Close every Push fails; items already inside can still be drained.
  void Close() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    closed_ = true;
    cv_.SignalAll();
  }

  // Takes everything there is, possibly nothing.
  std::vector<T> Drain() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    woken_ = false;
    return std::exchange(items_, {});
  }

  // Waits until there is an item, a Wake, a Close or the deadline; then takes everything.
  std::vector<T> WaitAndDrain(TimePoint deadline = kNoDeadline) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (items_.empty() && !closed_ && !woken_) {
      if (deadline == kNoDeadline) {
        cv_.Wait(&mutex_);
      } else if (!cv_.WaitUntil(&mutex_, deadline)) {
        break;
      }
    }
    woken_ = false;
    return std::exchange(items_, {});
  }

  size_t size() const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return items_.size();
  }
  bool closed() const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar cv_;
  std::vector<T> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_BOUNDED_INBOX_H_
