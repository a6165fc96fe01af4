// std::mutex with Clang's thread-safety annotations. (Debian's absl::Mutex is uninstrumented, which blinds TSan; this
// one type is used everywhere.) Build with clang -Wthread-safety to check the annotations.
#ifndef BITRATE_ENGINE_BASE_MUTEX_H_
#define BITRATE_ENGINE_BASE_MUTEX_H_

#include <absl/base/thread_annotations.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define BITRATE_TSA(x) __attribute__((x))
#else
#define BITRATE_TSA(x)
#endif
#ifndef GUARDED_BY  // Abseil defines the same macro with the same meaning
#define GUARDED_BY(x) BITRATE_TSA(guarded_by(x))
#endif
#define REQUIRES(...) BITRATE_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) BITRATE_TSA(locks_excluded(__VA_ARGS__))

namespace bitrate {

class BITRATE_TSA(capability("mutex")) Mutex {
 public:
  void Lock() BITRATE_TSA(acquire_capability()) { mutex_.lock(); }
  void Unlock() BITRATE_TSA(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class BITRATE_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) BITRATE_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() BITRATE_TSA(release_capability()) { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* mutex_;
};

// Waits may wake spuriously: call in a loop over the condition.
class CondVar {
 public:
  void Wait(Mutex* mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when the time ran out.
  template <typename Clock, typename Duration>
  bool WaitUntil(Mutex* mutex, std::chrono::time_point<Clock, Duration> deadline) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool notified = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_MUTEX_H_
