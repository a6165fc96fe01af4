#include "engine/base/large_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "engine/base/aligned_buffer.h"

namespace bitrate {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

bool AllZero(const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  return std::all_of(p, p + bytes, [](unsigned char c) { return c == 0; });
}

// Pages of [data, data + bytes) that take memory.
size_t ResidentPages(void* data, size_t bytes) {
  std::vector<unsigned char> state((bytes + 4095) / 4096);
  EXPECT_EQ(mincore(data, bytes, state.data()), 0);
  return static_cast<size_t>(std::count_if(state.begin(), state.end(), [](unsigned char c) { return c & 1; }));
}

TEST(LargeMemoryTest, IsZeroFilledAlignedAndApart) {
  std::vector<void*> blocks;
  for (int i = 0; i < 40; ++i) {
    void* block = AllocateLarge(kMiB + 1);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 4096, 0u);
    EXPECT_TRUE(AllZero(block, kMiB + 1));
    std::memset(block, i + 1, kMiB + 1);
    blocks.push_back(block);
  }
  for (int i = 0; i < 40; ++i) {
    const auto* p = static_cast<const unsigned char*>(blocks[static_cast<size_t>(i)]);
    EXPECT_TRUE(std::all_of(p, p + kMiB + 1, [i](unsigned char c) { return c == i + 1; })) << i;
  }
  for (void* block : blocks) FreeLarge(block, kMiB + 1);
}

TEST(LargeMemoryTest, FreedPagesGoBackAndComeAgainAsZeros) {
  void* keep = AllocateLarge(kMiB);  // holds the chunk
  void* block = AllocateLarge(2 * kMiB);
  std::memset(keep, 1, kMiB);
  std::memset(block, 7, 2 * kMiB);
  EXPECT_EQ(ResidentPages(block, 2 * kMiB), 512u);
  FreeLarge(block, 2 * kMiB);
  EXPECT_EQ(ResidentPages(block, 2 * kMiB), 0u);
  void* again = AllocateLarge(2 * kMiB);
  EXPECT_EQ(again, block) << "the first hole that fits";
  EXPECT_TRUE(AllZero(again, 2 * kMiB));
  FreeLarge(again, 2 * kMiB);
  FreeLarge(keep, kMiB);
}

TEST(LargeMemoryTest, HolesMergeWhateverTheOrder) {
  const LargeMemoryUse before = GetLargeMemoryUse();
  for (const std::vector<int>& order : {std::vector<int>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    void* keep = AllocateLarge(kMiB);
    void* blocks[3];
    for (void*& block : blocks) block = AllocateLarge(kMiB);
    for (int i : order) FreeLarge(blocks[i], kMiB);
    void* all = AllocateLarge(3 * kMiB);
    EXPECT_EQ(all, blocks[0]);
    FreeLarge(all, 3 * kMiB);
    FreeLarge(keep, kMiB);
  }
  EXPECT_EQ(GetLargeMemoryUse().allocated_bytes, before.allocated_bytes);
}

TEST(LargeMemoryTest, AnEmptyChunkIsUnmapped) {
  const LargeMemoryUse before = GetLargeMemoryUse();
  void* big = AllocateLarge(100 * kMiB);
  ASSERT_NE(big, nullptr);
  EXPECT_GE(GetLargeMemoryUse().mapped_bytes, before.mapped_bytes + 100 * kMiB);
  FreeLarge(big, 100 * kMiB);
  EXPECT_EQ(GetLargeMemoryUse().mapped_bytes, before.mapped_bytes);
}

TEST(LargeMemoryTest, MoreThanTheSystemHasIsRefused) {
  EXPECT_EQ(AllocateLarge(size_t{1} << 60), nullptr);
  EXPECT_EQ(AllocateLarge(SIZE_MAX - 5), nullptr);
  // AddressSanitizer ends the process over a request of that size.
  if (kUseLargeMemory) {
    EXPECT_THROW(AlignedBuffer<std::byte>(size_t{1} << 60), std::bad_alloc);
  }
}

TEST(LargeMemoryTest, BuffersAroundTheThresholdAreFreedWhereTheyCameFrom) {
  const LargeMemoryUse before = GetLargeMemoryUse();
  for (size_t bytes = kLargeMemoryBytes - 130; bytes < kLargeMemoryBytes + 130; bytes += 13) {
    AlignedBuffer<std::byte> buffer(bytes);
    EXPECT_TRUE(AllZero(buffer.data(), bytes));
    std::memset(buffer.data(), 3, bytes);
  }
  EXPECT_EQ(GetLargeMemoryUse().allocated_bytes, before.allocated_bytes);
}

TEST(LargeMemoryTest, ThreadsShareIt) {
  const LargeMemoryUse before = GetLargeMemoryUse();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (size_t i = 1; i < 200; ++i) {
        const size_t bytes = (i * 7919 + static_cast<size_t>(t) * 104729) % (3 * kMiB) + 1;
        auto* block = static_cast<unsigned char*>(AllocateLarge(bytes));
        block[0] = block[bytes - 1] = static_cast<unsigned char>(t + 1);
        std::this_thread::yield();
        EXPECT_EQ(block[0], t + 1);
        EXPECT_EQ(block[bytes - 1], t + 1);
        FreeLarge(block, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(GetLargeMemoryUse().allocated_bytes, before.allocated_bytes);
}

}  // namespace
}  // namespace bitrate
