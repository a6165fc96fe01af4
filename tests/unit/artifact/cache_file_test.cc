// The header of a cache file: what is written is read, and every field that lies is an error.
#include "engine/artifact/cache_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

// A section of 5 bytes and one of 3.
std::string TwoSections() {
  const uint64_t sizes[] = {5, 3};
  std::string file = SerializeCacheHeader(LayOutCacheFile("a key", sizes));
  file.resize(8192 + 3);
  return file;
}

// Overwrites a field and makes the checksum right again.
template <typename T>
std::string Patched(size_t at, T value) {
  std::string file = TwoSections();
  std::memcpy(file.data() + at, &value, sizeof(value));
  const Digest128 digest = DigestOf(AsBytes(file).first(4080));
  std::memcpy(file.data() + 4080, &digest, sizeof(digest));
  return file;
}

void ExpectRefused(const std::string& file, StatusCode code, std::string_view part) {
  ExpectError(ParseCacheHeader(AsBytes(file)).status(), code, part);
}

TEST(CacheFile, ReadsWhatWasWritten) {
  const std::string file = TwoSections();
  const auto header = ParseCacheHeader(AsBytes(file));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->key, "a key");
  EXPECT_EQ(header->file_bytes, 8195u);
  ASSERT_EQ(header->sections.size(), 2u);
  EXPECT_EQ(header->sections[0].offset, 4096u);
  EXPECT_EQ(header->sections[0].bytes, 5u);
  EXPECT_EQ(header->sections[1].offset, 8192u);
  EXPECT_EQ(header->sections[1].bytes, 3u);
}

TEST(CacheFile, EveryByteOfTheHeaderIsChecked) {
  const std::string good = TwoSections();
  for (size_t i = 0; i < 4096; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_FALSE(ParseCacheHeader(AsBytes(bad)).ok()) << "byte " << i;
  }
}

TEST(CacheFile, RefusesEveryLength) {
  const std::string good = TwoSections();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{8194}, size_t{8196}}) {
    std::string bad = good;
    bad.resize(bytes);
    EXPECT_EQ(ParseCacheHeader(AsBytes(bad)).status().code(), StatusCode::kDataLoss) << bytes;
  }
}

TEST(CacheFile, RefusesFieldsThatLie) {
  const StatusCode damaged = StatusCode::kDataLoss;
  ASSERT_TRUE(ParseCacheHeader(AsBytes(Patched<uint64_t>(16, 8195))).ok());  // the patching itself is sound
  ExpectRefused(Patched<char>(0, 'b'), damaged, "wrong first bytes");
  ExpectRefused(Patched<uint32_t>(8, 2), StatusCode::kFailedPrecondition, "version 2, wanted 1");
  ExpectRefused(Patched<uint32_t>(12, 9), damaged, "9 sections");
  ExpectRefused(Patched<uint64_t>(16, 8196), damaged, "the header says 8196");
  ExpectRefused(Patched<uint32_t>(24, 3073), damaged, "a key of 3073 bytes");
  ExpectRefused(Patched<uint64_t>(32, 4097), damaged, "section 0");                 // not aligned
  ExpectRefused(Patched<uint64_t>(32, 0), damaged, "section 0");                    // in the header
  ExpectRefused(Patched<uint64_t>(40, 4096 + 4), damaged, "section 0");             // past the end
  ExpectRefused(Patched<uint64_t>(40, ~uint64_t{0} - 4095), damaged, "section 0");  // its end wraps to 0
  ExpectRefused(Patched<uint64_t>(64, 4096), damaged, "section 1");                 // over section 0
}

}  // namespace
}  // namespace bitrate
