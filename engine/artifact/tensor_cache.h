// A folder of byte strings that are costly to make (packed weights), each under a key that says all they depend on.
// Files are mapped read-only, so processes share their pages. The folder may be shared by processes and deleted, whole
// or in part, at any time a server does not start.
//
// A file is written to a name of its own, synced (together with others) and renamed, so readers see all of it or
// nothing, and of several writers the last wins with equal bytes. Every byte that is used has been compared with its
// checksum when the file was mapped: a damaged, cut or foreign file is reported, not used, and written anew. Anybody
// who may write the folder can change what is served (checksums are no signatures): it is made for its owner only.
//
// Thread rule: thread-safe. Store hands over to a writer thread of the cache's own and returns at once; the destructor
// finishes the files being written and drops the rest.
// Errors: no failure reaches the caller. What cannot be read is not found; the first write that fails (disk full, no
// permission) is reported and ends the storing.
#ifndef BITRATE_ENGINE_ARTIFACT_TENSOR_CACHE_H_
#define BITRATE_ENGINE_ARTIFACT_TENSOR_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/base/mutex.h"
#include "engine/base/parallel.h"
#include "engine/base/status.h"

namespace bitrate {

class TensorCache {
 public:
  using WarnFn = std::function<void(std::string_view problem)>;  // any thread; no lock is held

  // Makes the folder where it is missing and removes what writers that died left there. Fails where there can be no
  // such folder.
  static StatusOr<std::unique_ptr<TensorCache>> Open(std::string folder, WarnFn warn);
  ~TensorCache();
  TensorCache(const TensorCache&) = delete;
  TensorCache& operator=(const TensorCache&) = delete;

  struct Entry {
    std::vector<std::span<const std::byte>> sections;  // 4096-byte aligned
    std::shared_ptr<const void> owner;                 // of the mapping
  };
  // The workers check the sums.
  std::optional<Entry> Find(const std::string& key, Parallel& parallel) EXCLUDES(mutex_);

  // `owner` keeps the sections alive and unchanged until they are written. Keys over kMaxCacheKeyBytes are not
  // stored.
  void Store(std::string key, std::vector<std::span<const std::byte>> sections, std::shared_ptr<const void> owner)
      EXCLUDES(mutex_);

  // Waits until everything handed over is written or has failed.
  void Flush() EXCLUDES(mutex_);

  struct Stats {
    int64_t found = 0, missing = 0;
    int64_t rejected = 0;  // there, but not usable
    int64_t stored = 0, failed = 0;
  };
  Stats stats() const EXCLUDES(mutex_);

  std::string PathOf(const std::string& key) const;

 private:
  struct Job {
    std::string key;
    std::vector<std::span<const std::byte>> sections;
    std::shared_ptr<const void> owner;
    bool replace = false;  // a file of this name is there and not usable
  };
  TensorCache(std::string folder, WarnFn warn) : folder_(std::move(folder)), warn_(std::move(warn)) {}

  void Main();
  std::vector<Job> TakeBatch() EXCLUDES(mutex_);  // waits; empty = the end
  Status Write(const std::vector<Job>& batch, int64_t* stored) const;
  void Warn(std::string_view problem) const {
    if (warn_ != nullptr) warn_(problem);
  }

  const std::string folder_;
  const WarnFn warn_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Job> queue_ GUARDED_BY(mutex_);
  std::set<std::string> rejected_ GUARDED_BY(mutex_);  // keys
  Stats stats_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false;  // nothing is stored any more
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_TENSOR_CACHE_H_
