// A regular file mapped read-only, and small files read whole.
// Thread rule: immutable after Open. Shared: weight matrices keep the mapping alive past the reader that made them.
// Errors: NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (no regular file), RESOURCE_EXHAUSTED (over a bound),
// DATA_LOSS (I/O error); the path is in the message. Not handled: a file that somebody truncates while it is mapped
// (the next access is a SIGBUS); replace model files by rename, never in place.
#ifndef BITRATE_ENGINE_ARTIFACT_MAPPED_FILE_H_
#define BITRATE_ENGINE_ARTIFACT_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/base/status.h"

namespace bitrate {

// What the file system says of a file: another content has another stamp, but for changes within one tick of its clock.
struct FileStamp {
  uint64_t inode = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // of the content; of content or attributes. Since the epoch
};

class MappedFile {
 public:
  static StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  // Bytes that live elsewhere, for tests and fuzzing; `path` appears in messages only.
  static std::shared_ptr<const MappedFile> FromBytes(std::string path, std::span<const std::byte> bytes);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  const FileStamp& stamp() const { return stamp_; }  // when it was opened

  // All of it will be read soon: the system may fetch it ahead.
  void WillRead() const;
  // Gives back the resident pages; the next access reads them again. Nothing for bytes that live elsewhere.
  void ReleasePages() const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, bool mapped, FileStamp stamp)
      : path_(std::move(path)), bytes_(bytes), mapped_(mapped), stamp_(stamp) {}

  std::string path_;
  std::span<const std::byte> bytes_;
  bool mapped_;
  FileStamp stamp_;
};

// The whole text of a regular file of at most `max_bytes`.
StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_MAPPED_FILE_H_
