#include "server/task_pool.h"

namespace bitrate {

TaskPool::TaskPool(int num_threads, size_t capacity) : capacity_(capacity) {
  for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { Run(); });
}

TaskPool::~TaskPool() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    work_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool TaskPool::Post(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (queue_.size() >= capacity_) return false;
  queue_.push_back(std::move(task));
  work_.Signal();
  return true;
}

void TaskPool::Flush() {
  MutexLock lock(&mutex_);
  while (!queue_.empty() || num_running_ > 0) idle_.Wait(&mutex_);
}

void TaskPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !stop_) work_.Wait(&mutex_);
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      ++num_running_;
    }
    task();
    task = nullptr;  // what it captured goes before Flush returns
    MutexLock lock(&mutex_);
    if (--num_running_ == 0 && queue_.empty()) idle_.SignalAll();
  }
}

}  // namespace bitrate
