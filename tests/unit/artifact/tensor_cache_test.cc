// The folder of packed tensors: what was stored is found by every process, damage of any kind is not used and mended,
// and no failure of the disk goes further than a warning.
#include "engine/artifact/tensor_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <thread>

#include "engine/artifact/cache_file.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TensorCacheTest : public testing::Test {
 protected:
  // Nothing where the folder cannot be used.
  std::unique_ptr<TensorCache> Open(const std::string& folder) {
    auto cache = TensorCache::Open(folder, [this](std::string_view problem) {
      MutexLock lock(&mutex_);
      warnings_.emplace_back(problem);
    });
    EXPECT_TRUE(cache.ok()) << cache.status();
    return cache.ok() ? *std::move(cache) : nullptr;
  }
  std::unique_ptr<TensorCache> Open() { return Open(folder_.path() + "/cache"); }

  static void Store(TensorCache& cache, const std::string& key, std::vector<std::string> sections) {
    auto owned = std::make_shared<std::vector<std::string>>(std::move(sections));
    std::vector<std::span<const std::byte>> spans;
    for (const std::string& section : *owned) spans.push_back(AsBytes(section));
    cache.Store(key, spans, owned);
    cache.Flush();
  }
  std::vector<std::string> Find(TensorCache& cache, const std::string& key) {
    std::vector<std::string> out;
    const auto entry = cache.Find(key, parallel_);
    if (!entry.has_value()) return out;
    for (const auto& section : entry->sections) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(section.data()) % 4096, 0u);
      out.emplace_back(reinterpret_cast<const char*>(section.data()), section.size());
    }
    return out;
  }
  std::vector<std::string> warnings() {
    MutexLock lock(&mutex_);
    return std::exchange(warnings_, {});
  }
  int FilesIn(const std::string& folder) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.is_regular_file() ? 1 : 0;
    return count;
  }

  TempFolder folder_;
  InlineParallel parallel_;
  Mutex mutex_;
  std::vector<std::string> warnings_;
};

TEST_F(TensorCacheTest, KeepsWhatWasStoredForTheNextProcess) {
  const std::string large(3 << 20, 'x');
  {
    const auto cache = Open();
    EXPECT_THAT(Find(*cache, "a"), IsEmpty());
    Store(*cache, "a", {"codes", "", large});
    Store(*cache, "b", {"other"});
    EXPECT_EQ(cache->stats().stored, 2);
    EXPECT_EQ(cache->stats().missing, 1);
  }
  const auto cache = Open();
  EXPECT_THAT(Find(*cache, "a"), ElementsAre("codes", "", large));
  EXPECT_THAT(Find(*cache, "b"), ElementsAre("other"));
  EXPECT_THAT(Find(*cache, "c"), IsEmpty());
  EXPECT_EQ(cache->stats().found, 2);
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(TensorCacheTest, AnEntryOutlivesItsFileAndTheCache) {
  auto cache = Open();
  Store(*cache, "a", {"codes"});
  const auto entry = cache->Find("a", parallel_);
  ASSERT_TRUE(entry.has_value());
  std::filesystem::remove(cache->PathOf("a"));
  cache = nullptr;
  EXPECT_EQ(std::memcmp(entry->sections[0].data(), "codes", 5), 0);
}

// A byte of each region changed, cut short, grown, another version, another key's file: reported once, not used, and
// the next Store mends it.
TEST_F(TensorCacheTest, DamageIsSeenAndMended) {
  const std::vector<std::string> sections = {std::string(5000, 'c'), "scales", std::string(300 << 10, 'o')};
  const auto cache = Open();
  Store(*cache, "a", sections);
  Store(*cache, "b", {"other"});
  const std::string path = cache->PathOf("a"), good = ReadFile(path), other = ReadFile(cache->PathOf("b"));
  const auto flipped = [&](size_t at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    return bad;
  };
  const size_t third = 4096 + 8192 + 4096;  // of the section of 300 KiB
  const std::vector<std::string> damaged = {
      flipped(0),                    // the magic
      flipped(8),                    // the version
      flipped(40),                   // a section's size
      flipped(290),                  // the key
      flipped(4090),                 // the checksum
      flipped(4096),                 // the first byte of the codes
      flipped(4096 + 4999),          // and the last
      flipped(4096 + 8192),          // the scales
      flipped(third + (200 << 10)),  // a later block of the offsets
      flipped(good.size() - 1),
      good.substr(0, good.size() - 1),
      good.substr(0, 4096),
      good.substr(0, 100),
      "",
      good + "x",
      other,
  };
  for (size_t i = 0; i < damaged.size(); ++i) {
    SCOPED_TRACE(i);
    std::ofstream(path, std::ios::binary) << damaged[i];
    EXPECT_THAT(Find(*cache, "a"), IsEmpty());
    EXPECT_THAT(warnings(), ElementsAre(HasSubstr(path)));
    Store(*cache, "a", sections);
    EXPECT_EQ(Find(*cache, "a"), sections);
    EXPECT_THAT(warnings(), IsEmpty());
  }
  EXPECT_EQ(cache->stats().rejected, static_cast<int64_t>(damaged.size()));
}

TEST_F(TensorCacheTest, WhatIsNoFileIsNotUsed) {
  const auto cache = Open();
  std::filesystem::create_directory(cache->PathOf("a"));
  EXPECT_THAT(Find(*cache, "a"), IsEmpty());
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("not a regular file")));
  Store(*cache, "a", {"codes"});  // a folder is not renamed over
  EXPECT_EQ(cache->stats().failed, 1);
}

// Several writers at once, as threads with a cache each and as processes: readers see all of a file or none of it.
TEST_F(TensorCacheTest, ConcurrentWritersAndReaders) {
  const std::string folder = folder_.path() + "/cache";
  const auto value = [](int key) {
    return std::string(100'000 + static_cast<size_t>(key), static_cast<char>('a' + key));
  };
  constexpr int kKeys = 8;
  const pid_t child = fork();
  const auto work = [&] {
    auto cache = TensorCache::Open(folder, nullptr);
    if (!cache.ok()) return false;
    InlineParallel parallel;
    for (int round = 0; round < 5; ++round) {
      for (int key = 0; key < kKeys; ++key) {
        const std::string name = std::to_string(key);
        const auto entry = (*cache)->Find(name, parallel);
        if (entry.has_value()) {
          const std::string want = value(key);
          if (entry->sections.size() != 1 || entry->sections[0].size() != want.size() ||
              std::memcmp(entry->sections[0].data(), want.data(), want.size()) != 0) {
            return false;
          }
          std::filesystem::remove((*cache)->PathOf(name));  // so that it is written again
        }
        Store(**cache, name, {value(key)});
      }
    }
    return (*cache)->stats().failed == 0 && (*cache)->stats().rejected == 0;
  };
  if (child == 0) _exit(work() ? 0 : 1);
  std::vector<std::thread> threads;
  std::vector<int> good(3);
  for (int& result : good) threads.emplace_back([&work, &result] { result = work() ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(good, ElementsAre(1, 1, 1));
  EXPECT_LE(FilesIn(folder), kKeys);  // and nothing half-written is left
}

TEST_F(TensorCacheTest, RemovesWhatADeadWriterLeftAndNothingElse) {
  const std::string folder = folder_.path() + "/cache";
  { const auto cache = Open(); }
  folder_.Write("cache/1234.bpk.writing-dead01", "half");
  folder_.Write("cache/README", "mine");
  const std::string busy = folder_.Write("cache/1234.bpk.writing-busy01", "half");
  const int fd = ::open(busy.c_str(), O_RDONLY);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto cache = Open();
  EXPECT_FALSE(std::filesystem::exists(folder + "/1234.bpk.writing-dead01"));
  EXPECT_TRUE(std::filesystem::exists(busy));
  EXPECT_TRUE(std::filesystem::exists(folder + "/README"));
  ::close(fd);
}

TEST_F(TensorCacheTest, NoFolderIsAnError) {
  const std::string file = folder_.Write("file", "x");
  EXPECT_FALSE(TensorCache::Open(file, nullptr).ok());
  EXPECT_FALSE(TensorCache::Open(file + "/below", nullptr).ok());
}

TEST_F(TensorCacheTest, AFolderThatWentAwayEndsTheStoring) {
  const auto cache = Open();
  std::filesystem::remove_all(folder_.path() + "/cache");
  Store(*cache, "a", {"codes"});
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("nothing more is stored")));
  Store(*cache, "b", {"codes"});
  EXPECT_THAT(warnings(), IsEmpty());
  EXPECT_EQ(cache->stats().failed, 1);
  EXPECT_THAT(Find(*cache, "a"), IsEmpty());
}

// A limit on the size of files stands for a full disk: the write fails in its middle.
TEST_F(TensorCacheTest, AFullDiskIsAWarning) {
  const auto cache = Open();
  Store(*cache, "small", {"codes"});
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit tight{64 << 10, old.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  Store(*cache, "large", {std::string(1 << 20, 'x')});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("nothing more is stored")));
  EXPECT_EQ(FilesIn(folder_.path() + "/cache"), 1);  // no half of it stays
  EXPECT_THAT(Find(*cache, "large"), IsEmpty());
  EXPECT_THAT(Find(*cache, "small"), ElementsAre("codes"));
}

TEST_F(TensorCacheTest, KeysHaveABound) {
  const auto cache = Open();
  const std::string most(kMaxCacheKeyBytes, 'k'), over(kMaxCacheKeyBytes + 1, 'k');
  Store(*cache, most, {"codes"});
  Store(*cache, over, {"codes"});
  EXPECT_THAT(Find(*cache, most), ElementsAre("codes"));
  EXPECT_THAT(Find(*cache, over), IsEmpty());
}

}  // namespace
}  // namespace bitrate
