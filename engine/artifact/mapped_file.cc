#include "engine/artifact/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "engine/artifact/file_error.h"

namespace bitrate {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct OpenedFile {
  FileDescriptor fd;
  uint64_t size;
  FileStamp stamp;
};

int64_t Nanoseconds(const struct timespec& time) { return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec; }

StatusOr<OpenedFile> OpenRegular(const std::string& path) {
  if (path.find('\0') != std::string::npos) return InvalidArgument("file path: has a NUL byte");
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FileError(path, "cannot open", errno);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return FileError(path, "cannot stat", errno);
  if (!S_ISREG(info.st_mode)) return InvalidArgument("{}: not a regular file", path);
  return OpenedFile{std::move(fd), static_cast<uint64_t>(info.st_size),
                    FileStamp{info.st_ino, Nanoseconds(info.st_mtim), Nanoseconds(info.st_ctim)}};
}

}  // namespace

StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(OpenedFile file, OpenRegular(path));
  if (file.size == 0) return FromBytes(path, {});  // mmap refuses a length of zero
  void* data = mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd.get(), 0);
  if (data == MAP_FAILED) return FileError(path, "cannot map", errno);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(data), file.size);
  return std::shared_ptr<const MappedFile>(new MappedFile(path, bytes, true, file.stamp));
}

std::shared_ptr<const MappedFile> MappedFile::FromBytes(std::string path, std::span<const std::byte> bytes) {
  return std::shared_ptr<const MappedFile>(new MappedFile(std::move(path), bytes, false, FileStamp{}));
}

MappedFile::~MappedFile() {
  if (mapped_) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::WillRead() const {
  if (mapped_) madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_WILLNEED);
}

void MappedFile::ReleasePages() const {
  if (mapped_) madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(OpenedFile file, OpenRegular(path));
  if (file.size > max_bytes) {
    return ResourceExhausted("{}: {} bytes, the limit is {}", path, file.size, max_bytes);
  }
  std::string text(file.size, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = read(file.fd.get(), text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(path, "cannot read", errno);
    if (got == 0) break;  // shrank since fstat
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace bitrate
