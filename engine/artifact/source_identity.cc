#include "engine/artifact/source_identity.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "engine/base/fingerprint.h"

namespace bitrate {
namespace {

constexpr size_t kSamples = 64, kSampleBytes = 4096;

// The coarsest clock of a file system in use (FAT's): a file that is older than that cannot be changed again without
// getting another time.
constexpr auto kClockTick = std::chrono::seconds(2);

std::string SampleOf(std::span<const std::byte> bytes) {
  std::vector<Digest128> digests;
  const size_t pages = (bytes.size() + kSampleBytes - 1) / kSampleBytes, samples = std::min(pages, kSamples);
  for (size_t i = 0; i < samples; ++i) {
    // From the first page to the last, both included.
    const size_t page = samples == 1 ? 0 : (pages - 1) * i / (samples - 1);
    const size_t begin = page * kSampleBytes;
    digests.push_back(DigestOf(bytes.subspan(begin, std::min(kSampleBytes, bytes.size() - begin))));
  }
  return Fingerprint(std::as_bytes(std::span(digests)));
}

}  // namespace

std::string SourceIdentity(std::string_view digest, std::span<const std::shared_ptr<const MappedFile>> files,
                           std::chrono::system_clock::time_point now) {
  using std::chrono::nanoseconds;
  const int64_t settled =
      std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count() - nanoseconds(kClockTick).count();
  std::string identity(digest);
  for (const auto& file : files) {
    const FileStamp& stamp = file->stamp();
    // Bytes without a file have no times, and what lies in the future says nothing.
    if (stamp.changed_ns == 0 || std::max(stamp.modified_ns, stamp.changed_ns) > settled) return {};
    identity += fmt::format("|{}:{}:{}:{}:{}", stamp.inode, file->bytes().size(), stamp.modified_ns, stamp.changed_ns,
                            SampleOf(file->bytes()));
  }
  return files.empty() ? std::string() : Fingerprint(std::as_bytes(std::span(identity)));
}

}  // namespace bitrate
