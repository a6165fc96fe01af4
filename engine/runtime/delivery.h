// The thread that hands events to their sinks: one batch, one wake-up a step. The engine never waits for a sink unless
// kMaxBatches steps are undelivered, which a sink that keeps its promise (OnEvent does not block) cannot cause.
// Thread rule: Push from the engine thread; the destructor delivers what is left and joins.
#ifndef BITRATE_ENGINE_RUNTIME_DELIVERY_H_
#define BITRATE_ENGINE_RUNTIME_DELIVERY_H_

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/mutex.h"
#include "engine/runtime/token_sink.h"

namespace bitrate {

struct Delivery {
  std::shared_ptr<TokenSink> sink;
  TokenEvent event;
};

class DeliveryThread {
 public:
  explicit DeliveryThread(const std::string& name);
  ~DeliveryThread();
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

  void Push(std::vector<Delivery> batch) EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxBatches = 4096;
  void Loop(std::string name) EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::vector<Delivery>> batches_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// "br-" + what + instance name, cut to what the kernel takes.
void NameThisThread(const std::string& prefix, const std::string& name);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_DELIVERY_H_
