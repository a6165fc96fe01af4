#include "engine/artifact/cache_file.h"

#include <cstring>

#include "engine/artifact/checked.h"
#include "engine/base/check.h"

namespace bitrate {
namespace {

constexpr char kMagic[8] = {'B', 'R', 'C', 'A', 'C', 'H', 'E', '1'};

// The file's own structs: fixed sizes, no padding.
struct Prefix {
  char magic[8];
  uint32_t version, num_sections;
  uint64_t file_bytes;
  uint32_t key_bytes, zero;
};
struct RawSection {
  uint64_t offset, bytes, digest_a, digest_b;
};
static_assert(sizeof(Prefix) == 32 && sizeof(RawSection) == 32);

constexpr size_t kSectionsAt = sizeof(Prefix);
constexpr size_t kKeyAt = kSectionsAt + kMaxCacheSections * sizeof(RawSection);
constexpr size_t kDigestAt = kCacheHeaderBytes - sizeof(Digest128);
static_assert(kKeyAt + kMaxCacheKeyBytes <= kDigestAt);

uint64_t Align(uint64_t bytes) { return (bytes + kCacheAlignment - 1) / kCacheAlignment * kCacheAlignment; }

template <typename T>
T ReadAt(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

StatusOr<Prefix> CheckPrefix(std::span<const std::byte> file) {
  if (file.size() < kCacheHeaderBytes) {
    return DataLoss("{} bytes, a header alone has {}", file.size(), kCacheHeaderBytes);
  }
  const auto prefix = ReadAt<Prefix>(file, 0);
  if (std::memcmp(prefix.magic, kMagic, sizeof(kMagic)) != 0) return DataLoss("no cache file: wrong first bytes");
  // The version comes before the digest: another version may have its digest elsewhere.
  if (prefix.version != kCacheFileVersion) {
    return FailedPrecondition("version {}, wanted {}", prefix.version, kCacheFileVersion);
  }
  if (DigestOf(file.first(kDigestAt)) != ReadAt<Digest128>(file, kDigestAt)) {
    return DataLoss("the header is damaged (its checksum differs)");
  }
  if (prefix.file_bytes != file.size()) {
    return DataLoss("{} bytes, the header says {}", file.size(), prefix.file_bytes);
  }
  if (prefix.num_sections > kMaxCacheSections) {
    return DataLoss("{} sections, wanted at most {}", prefix.num_sections, kMaxCacheSections);
  }
  if (prefix.key_bytes > kMaxCacheKeyBytes) {
    return DataLoss("a key of {} bytes, wanted at most {}", prefix.key_bytes, kMaxCacheKeyBytes);
  }
  return prefix;
}

}  // namespace

CacheHeader LayOutCacheFile(std::string key, std::span<const uint64_t> section_bytes) {
  BITRATE_CHECK(key.size() <= kMaxCacheKeyBytes && section_bytes.size() <= kMaxCacheSections);
  CacheHeader header;
  header.key = std::move(key);
  header.file_bytes = kCacheHeaderBytes;
  for (const uint64_t bytes : section_bytes) {
    header.sections.push_back({Align(header.file_bytes), bytes, {}});
    header.file_bytes = header.sections.back().offset + bytes;
  }
  return header;
}

std::string SerializeCacheHeader(const CacheHeader& header) {
  std::string bytes(kCacheHeaderBytes, '\0');
  Prefix prefix{{},
                kCacheFileVersion,
                static_cast<uint32_t>(header.sections.size()),
                header.file_bytes,
                static_cast<uint32_t>(header.key.size()),
                0};
  std::memcpy(prefix.magic, kMagic, sizeof(kMagic));
  std::memcpy(bytes.data(), &prefix, sizeof(prefix));
  for (size_t i = 0; i < header.sections.size(); ++i) {
    const CacheSection& section = header.sections[i];
    const RawSection raw{section.offset, section.bytes, section.digest.a, section.digest.b};
    std::memcpy(bytes.data() + kSectionsAt + i * sizeof(raw), &raw, sizeof(raw));
  }
  std::memcpy(bytes.data() + kKeyAt, header.key.data(), header.key.size());
  const Digest128 digest = DigestOf(std::as_bytes(std::span(bytes)).first(kDigestAt));
  std::memcpy(bytes.data() + kDigestAt, &digest, sizeof(digest));
  return bytes;
}

StatusOr<CacheHeader> ParseCacheHeader(std::span<const std::byte> file) {
  ASSIGN_OR_RETURN(const Prefix prefix, CheckPrefix(file));
  CacheHeader header;
  header.file_bytes = prefix.file_bytes;
  header.key.assign(reinterpret_cast<const char*>(file.data()) + kKeyAt, prefix.key_bytes);
  uint64_t free_from = kCacheHeaderBytes;
  for (uint32_t i = 0; i < prefix.num_sections; ++i) {
    const auto raw = ReadAt<RawSection>(file, kSectionsAt + i * sizeof(RawSection));
    const auto end = CheckedAdd(raw.offset, raw.bytes);
    if (raw.offset % kCacheAlignment != 0 || raw.offset < free_from || !end || *end > file.size()) {
      return DataLoss("section {}: {} bytes at {} of {} do not fit", i, raw.bytes, raw.offset, file.size());
    }
    free_from = *end;
    header.sections.push_back({raw.offset, raw.bytes, {raw.digest_a, raw.digest_b}});
  }
  return header;
}

}  // namespace bitrate
