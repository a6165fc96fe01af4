// Threads with one bounded queue: the frontend pool (tokenize, render, route) and, with one thread, the control thread
// (load, unload, drain).
//
// Thread rule: Post from any thread. Tasks must not throw. The destructor runs what is queued, then joins.
#ifndef BITRATE_SERVER_TASK_POOL_H_
#define BITRATE_SERVER_TASK_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "engine/base/mutex.h"

namespace bitrate {

class TaskPool {
 public:
  TaskPool(int num_threads, size_t capacity);
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // False when the queue is full; the task is then dropped untouched by the caller's choice.
  bool Post(std::function<void()> task);
  // Returns when everything posted before has run.
  void Flush();

 private:
  void Run();

  const size_t capacity_;
  Mutex mutex_;
  CondVar work_, idle_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  int num_running_ GUARDED_BY(mutex_) = 0;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_TASK_POOL_H_
