#include "engine/artifact/tensor_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "engine/artifact/cache_file.h"
#include "engine/artifact/file_error.h"
#include "engine/artifact/mapped_file.h"

namespace bitrate {
namespace {

constexpr std::string_view kSuffix = ".bpk";
constexpr std::string_view kTemporary = ".writing-";

// What is synced at once, and what may be lost when the process ends: about a second of a slow disk.
constexpr size_t kBatchBytes = size_t{256} << 20, kBatchFiles = 128;

// A file under construction: its own until Publish, gone without it. The lock tells the living from what a writer that
// died left behind.
class NewFile {
 public:
  explicit NewFile(std::string target)
      : target_(std::move(target)), path_(fmt::format("{}{}XXXXXX", target_, kTemporary)) {}
  ~NewFile() {
    if (fd_ < 0) return;
    if (!published_) ::unlink(path_.c_str());
    ::close(fd_);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Status Create(uint64_t bytes) {
    fd_ = ::mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0) return FileError(path_, "cannot create", errno);
    if (::flock(fd_, LOCK_EX) != 0) return FileError(path_, "cannot lock", errno);
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return FileError(path_, "cannot resize", errno);
    return OkStatus();
  }

  Status WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      constexpr size_t kMostBytes = size_t{1} << 30;  // below what one call may write
      const ssize_t wrote = ::pwrite(fd_, bytes.data(), std::min(bytes.size(), kMostBytes), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return FileError(path_, "cannot write", wrote == 0 ? ENOSPC : errno);
      offset += static_cast<uint64_t>(wrote);
      bytes = bytes.subspan(static_cast<size_t>(wrote));
    }
    return OkStatus();
  }

  // This file and everything else written to its file system so far.
  Status SyncFileSystem() {
    if (::syncfs(fd_) != 0) return FileError(path_, "cannot sync", errno);
    return OkStatus();
  }

  Status Publish() {
    if (::rename(path_.c_str(), target_.c_str()) != 0) return FileError(path_, "cannot rename", errno);
    published_ = true;
    return OkStatus();
  }

 private:
  const std::string target_;
  std::string path_;
  int fd_ = -1;
  bool published_ = false;
};

void RemoveIfAbandoned(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  ::close(fd);
}

Status CheckSections(const CacheHeader& header, const MappedFile& file, Parallel& parallel) {
  for (size_t i = 0; i < header.sections.size(); ++i) {
    const CacheSection& section = header.sections[i];
    if (BlockDigest(file.bytes().subspan(section.offset, section.bytes), parallel) != section.digest) {
      return DataLoss("section {} is damaged (its checksum differs)", i);
    }
  }
  return OkStatus();
}

StatusOr<TensorCache::Entry> ReadEntry(const std::string& path, const std::string& key, Parallel& parallel) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  file->WillRead();
  ASSIGN_OR_RETURN(const CacheHeader header, ParseCacheHeader(file->bytes()));
  if (header.key != key) return DataLoss("it holds something else under this name");
  RETURN_IF_ERROR(CheckSections(header, *file, parallel));
  TensorCache::Entry entry;
  for (const CacheSection& section : header.sections) {
    entry.sections.push_back(file->bytes().subspan(section.offset, section.bytes));
  }
  entry.owner = file;
  return entry;
}

}  // namespace

StatusOr<std::unique_ptr<TensorCache>> TensorCache::Open(std::string folder, WarnFn warn) {
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) {
    std::filesystem::create_directories(folder, error);
    if (error) return FileError(folder, "cannot make the folder", error.value());
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (!std::filesystem::is_directory(folder, error)) return InvalidArgument("{}: not a folder", folder);
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    if (path.find(kTemporary) != std::string::npos) RemoveIfAbandoned(path);
  }
  std::unique_ptr<TensorCache> cache(new TensorCache(std::move(folder), std::move(warn)));
  TensorCache* self = cache.get();
  cache->writer_ = std::thread([self] { self->Main(); });
  return cache;
}

TensorCache::~TensorCache() {
  {
    MutexLock lock(&mutex_);
    stop_ = true;
    queue_.clear();
    changed_.SignalAll();
  }
  writer_.join();
}

std::string TensorCache::PathOf(const std::string& key) const {
  return fmt::format("{}/{}{}", folder_, Fingerprint(std::as_bytes(std::span(key))), kSuffix);
}

std::optional<TensorCache::Entry> TensorCache::Find(const std::string& key, Parallel& parallel) {
  const std::string path = PathOf(key);
  StatusOr<Entry> entry = ReadEntry(path, key, parallel);
  {
    MutexLock lock(&mutex_);
    if (entry.ok()) {
      ++stats_.found;
      return *std::move(entry);
    }
    if (entry.status().code() == StatusCode::kNotFound) {
      ++stats_.missing;
      return std::nullopt;
    }
    ++stats_.rejected;
    rejected_.insert(key);
  }
  Warn(fmt::format("{}: not used, will be made anew: {}", path, ToStd(entry.status().message())));
  return std::nullopt;
}

void TensorCache::Store(std::string key, std::vector<std::span<const std::byte>> sections,
                        std::shared_ptr<const void> owner) {
  if (key.size() > kMaxCacheKeyBytes || sections.size() > kMaxCacheSections) return;
  MutexLock lock(&mutex_);
  if (broken_ || stop_) return;
  const bool replace = rejected_.erase(key) > 0;
  queue_.push_back({std::move(key), std::move(sections), std::move(owner), replace});
  changed_.SignalAll();
}

void TensorCache::Flush() {
  MutexLock lock(&mutex_);
  while (!queue_.empty() || writing_) changed_.Wait(&mutex_);
}

TensorCache::Stats TensorCache::stats() const {
  MutexLock lock(&mutex_);
  return stats_;
}

std::vector<TensorCache::Job> TensorCache::TakeBatch() {
  MutexLock lock(&mutex_);
  while (queue_.empty() && !stop_) changed_.Wait(&mutex_);
  std::vector<Job> batch;
  if (stop_) return batch;
  size_t bytes = 0;
  while (!queue_.empty() && bytes < kBatchBytes && batch.size() < kBatchFiles) {
    for (const auto& section : queue_.front().sections) bytes += section.size();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  writing_ = true;
  return batch;
}

void TensorCache::Main() {
  // Whoever loads or serves goes first. Linux keeps a niceness for each thread.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
  while (true) {
    std::vector<Job> batch = TakeBatch();
    if (batch.empty()) return;
    int64_t stored = 0;
    const Status status = Write(batch, &stored);
    batch.clear();  // lets go of the weights
    if (!status.ok()) {
      Warn(fmt::format("{}; nothing more is stored, serving goes on from memory", ToStd(status.message())));
    }
    MutexLock lock(&mutex_);
    writing_ = false;
    stats_.stored += stored;
    if (!status.ok()) {
      ++stats_.failed;
      broken_ = true;
      queue_.clear();
    }
    changed_.SignalAll();
  }
}

Status TensorCache::Write(const std::vector<Job>& batch, int64_t* stored) const {
  std::vector<std::unique_ptr<NewFile>> files;
  InlineParallel alone;
  for (const Job& job : batch) {
    const std::string path = PathOf(job.key);
    // Another process may have made it meanwhile. What it holds is checked by whoever reads it.
    if (!job.replace && ::access(path.c_str(), F_OK) == 0) continue;
    std::vector<uint64_t> sizes;
    for (const auto& section : job.sections) sizes.push_back(section.size());
    CacheHeader header = LayOutCacheFile(job.key, sizes);
    NewFile& file = *files.emplace_back(std::make_unique<NewFile>(path));
    RETURN_IF_ERROR(file.Create(header.file_bytes));
    for (size_t i = 0; i < job.sections.size(); ++i) {
      header.sections[i].digest = BlockDigest(job.sections[i], alone);
      RETURN_IF_ERROR(file.WriteAt(header.sections[i].offset, job.sections[i]));
    }
    const std::string front = SerializeCacheHeader(header);
    RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(front))));
  }
  // One wait for the disk for all of them: a sync of its own for each file took a second apiece on a busy machine.
  if (!files.empty()) RETURN_IF_ERROR(files.front()->SyncFileSystem());
  for (const auto& file : files) {
    RETURN_IF_ERROR(file->Publish());
    ++*stored;
  }
  return OkStatus();
}

}  // namespace bitrate
