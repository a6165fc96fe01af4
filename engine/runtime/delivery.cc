#include "engine/runtime/delivery.h"

#include <pthread.h>

#include <utility>

namespace bitrate {

void NameThisThread(const std::string& prefix, const std::string& name) {
  // 15 characters and a zero is all that Linux takes.
  pthread_setname_np(pthread_self(), (prefix + name).substr(0, 15).c_str());
}

DeliveryThread::DeliveryThread(const std::string& name) : thread_([this, name] { Loop(name); }) {}

DeliveryThread::~DeliveryThread() {
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

void DeliveryThread::Push(std::vector<Delivery> batch) {
  if (batch.empty()) return;
  MutexLock lock(&mutex_);
  while (batches_.size() >= kMaxBatches) changed_.Wait(&mutex_);
  batches_.push_back(std::move(batch));
  changed_.SignalAll();
}

void DeliveryThread::Loop(std::string name) {
  NameThisThread("out-", name);
  while (true) {
    std::deque<std::vector<Delivery>> batches;
    {
      MutexLock lock(&mutex_);
      while (batches_.empty() && !closed_) changed_.Wait(&mutex_);
      if (batches_.empty()) return;
      batches.swap(batches_);
      changed_.SignalAll();
    }
    for (auto& batch : batches) {
      for (Delivery& delivery : batch) {
        if (delivery.sink == nullptr) continue;
        // A sink that throws breaks its own promise; it must not take the other streams with it.
        try {
          delivery.sink->OnEvent(std::move(delivery.event));
        } catch (...) {
        }
      }
    }
  }
}

}  // namespace bitrate
