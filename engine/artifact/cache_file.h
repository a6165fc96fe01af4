// The format of one file of the packed-weight cache, little-endian:
//   0     "BRCACHE1"
//   8     u32 version, u32 number of sections, u64 bytes of the file
//   24    u32 bytes of the key, u32 zero
//   32    8 x {u64 offset, u64 bytes, 16 bytes BlockDigest of the section}, unused ones zero
//   288   the key, then zeros
//   4080  DigestOf bytes 0 .. 4079
//   4096  the sections in order, each at a multiple of 4096
// Pure functions. Errors: DATA_LOSS for a file that is cut or damaged, FAILED_PRECONDITION for another version. What
// lies between the sections is nobody's and not checked; the digests of the sections are the reader's to compare.
#ifndef BITRATE_ENGINE_ARTIFACT_CACHE_FILE_H_
#define BITRATE_ENGINE_ARTIFACT_CACHE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/base/fingerprint.h"
#include "engine/base/status.h"

namespace bitrate {

inline constexpr uint32_t kCacheFileVersion = 1;
inline constexpr size_t kCacheHeaderBytes = 4096;
inline constexpr size_t kCacheAlignment = 4096;
inline constexpr size_t kMaxCacheKeyBytes = 3072;
inline constexpr uint32_t kMaxCacheSections = 8;

struct CacheSection {
  uint64_t offset = 0, bytes = 0;
  Digest128 digest;
};

struct CacheHeader {
  std::string key;                     // what the sections hold; at most kMaxCacheKeyBytes
  std::vector<CacheSection> sections;  // at most kMaxCacheSections
  uint64_t file_bytes = 0;
};

// Lays sections of these sizes out; digests are left to the caller.
CacheHeader LayOutCacheFile(std::string key, std::span<const uint64_t> section_bytes);

// The first kCacheHeaderBytes of the file.
std::string SerializeCacheHeader(const CacheHeader& header);

// `file`: the whole file. Every section of the answer lies inside it, aligned, after the header and the one before it.
StatusOr<CacheHeader> ParseCacheHeader(std::span<const std::byte> file);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_CACHE_FILE_H_
