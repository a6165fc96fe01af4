// A file of the packed-weight cache: any bytes give a header whose sections lie inside the file, or an error. What was
// accepted is written again and must read the same.
#include <cstdlib>
#include <cstring>

#include "engine/artifact/cache_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitrate;
  // The checksum would stop every mutation at the door: it is made right, so that what lies behind is reached.
  std::vector<std::byte> file(size);
  if (size > 0) std::memcpy(file.data(), data, size);
  for (const bool mended : {false, true}) {
    if (mended && size >= kCacheHeaderBytes) {
      constexpr size_t kAt = kCacheHeaderBytes - sizeof(Digest128);
      const Digest128 digest = DigestOf(std::span(file).first(kAt));
      std::memcpy(file.data() + kAt, &digest, sizeof(digest));
    }
    const StatusOr<CacheHeader> header = ParseCacheHeader(file);
    if (!header.ok()) continue;
    if (header->key.size() > kMaxCacheKeyBytes || header->sections.size() > kMaxCacheSections) std::abort();
    uint64_t sum = 0;
    for (const CacheSection& section : header->sections) {
      for (const std::byte b : std::span(file).subspan(section.offset, section.bytes)) sum += static_cast<uint64_t>(b);
    }
    static volatile uint64_t sink;
    sink = sum;
    (void)sink;
    const std::string again = SerializeCacheHeader(*header);
    std::vector<std::byte> copy = file;
    std::memcpy(copy.data(), again.data(), again.size());
    const StatusOr<CacheHeader> second = ParseCacheHeader(copy);
    if (!second.ok() || second->key != header->key || second->sections.size() != header->sections.size()) std::abort();
  }
  return 0;
}
