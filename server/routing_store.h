// The routing policy that is in force: an immutable snapshot behind an etag, swapped as a whole, with the policies it
// replaced kept for restoring, and a state file where one is configured (written to a temporary file, then renamed).
//
// Thread rule: thread-safe. Readers hold a snapshot; a swap does not disturb them.
// Errors: ABORTED etag of an older policy; INVALID_ARGUMENT a policy that does not fit the models; NOT_FOUND unknown
// etag in Restore; DATA_LOSS or INVALID_ARGUMENT a state file that cannot be read. On an error the policy in force
// stays.
#ifndef BITRATE_SERVER_ROUTING_STORE_H_
#define BITRATE_SERVER_ROUTING_STORE_H_

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/mutex.h"
#include "server/router.h"

namespace bitrate {

struct RoutingSnapshot {
  RoutingPolicy policy;
  std::string etag;
};

struct RoutingHistoryEntry {
  std::shared_ptr<const RoutingSnapshot> snapshot;
  std::chrono::system_clock::time_point replaced_at;
};

class RoutingStore {
 public:
  static constexpr size_t kMaxHistory = 16;
  using ModelsFn = std::function<std::vector<RoutableModel>()>;

  // `initial` is the configuration's policy. `state_file` may be empty. `models` says what a policy may name.
  RoutingStore(RoutingPolicy initial, std::string state_file, ModelsFn models);

  // Takes the policy of the state file where there is one. OK when there is none.
  Status LoadState();

  std::shared_ptr<const RoutingSnapshot> Current() const;
  std::vector<RoutingHistoryEntry> History() const;  // newest first
  bool persistent() const { return !state_file_.empty(); }

  // `etag` empty = whatever is in force.
  StatusOr<std::shared_ptr<const RoutingSnapshot>> Update(RoutingPolicy policy, std::string_view etag);
  // `etag` empty = the policy before the current.
  StatusOr<std::shared_ptr<const RoutingSnapshot>> Restore(std::string_view etag);

 private:
  std::shared_ptr<const RoutingSnapshot> MakeSnapshot(RoutingPolicy policy) const;
  Status Swap(std::shared_ptr<const RoutingSnapshot> next) REQUIRES(mutex_);
  Status WriteState(const RoutingSnapshot& snapshot) const;

  const std::string state_file_;
  const ModelsFn models_;
  mutable Mutex mutex_;
  std::shared_ptr<const RoutingSnapshot> current_ GUARDED_BY(mutex_);
  std::deque<RoutingHistoryEntry> history_ GUARDED_BY(mutex_);
};

// A policy as JSON text and back (the state file's content). INVALID_ARGUMENT naming the field.
std::string PolicyToJson(const RoutingPolicy& policy);
StatusOr<RoutingPolicy> PolicyFromJson(std::string_view text);

}  // namespace bitrate

#endif  // BITRATE_SERVER_ROUTING_STORE_H_
