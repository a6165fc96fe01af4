#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "engine/base/compute_pool.h"
#include "engine/base/parallel.h"

namespace bitrate {
namespace {

ComputePool::Options Threads(int num_threads) {
  ComputePool::Options options;
  options.num_threads = num_threads;
  return options;
}

// A Parallel whose workers run one after the other, in a given order: every outcome of the claims is then known.
class OrderedParallel final : public Parallel {
 public:
  explicit OrderedParallel(std::vector<int> order) : order_(std::move(order)) {}
  int num_workers() const override { return static_cast<int>(order_.size()); }
  void Run(absl::FunctionRef<void(int worker)> fn) override {
    for (const int worker : order_) fn(worker);
  }

 private:
  std::vector<int> order_;
};

struct Call {
  int worker;
  int64_t begin, end;
  bool operator==(const Call&) const = default;
};

std::vector<Call> Calls(Parallel& parallel, int64_t count) {
  std::vector<Call> calls;
  parallel.RunRanges(count, [&](int worker, int64_t begin, int64_t end) { calls.push_back({worker, begin, end}); });
  return calls;
}

TEST(RunRanges, EveryItemOnce) {
  for (const int workers : {1, 2, 3, 8}) {
    ComputePool pool(Threads(workers));
    ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
    for (const int64_t count : {0, 1, 2, 3, 7, 8, 9, 24, 25, 513}) {
      for (int run = 0; run < 50; ++run) {
        std::vector<int> seen(static_cast<size_t>(count));  // not atomic: an item has one writer, and Run orders it
        lease.RunRanges(count, [&](int worker, int64_t begin, int64_t end) {
          ASSERT_TRUE(worker >= 0 && worker < workers);
          ASSERT_TRUE(0 <= begin && begin < end && end <= count);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        ASSERT_EQ(std::count(seen.begin(), seen.end(), 1), count) << workers << " workers, " << count << " items";
      }
    }
  }
}

TEST(RunRanges, MoreWorkersThanRanges) {
  std::vector<int> order(200);
  for (int w = 0; w < 200; ++w) order[static_cast<size_t>(w)] = 199 - w;
  OrderedParallel parallel(order);
  std::vector<int> seen(1000);
  parallel.RunRanges(1000, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 1000);
}

// 16 items, 2 workers: ranges [0, 8) and [8, 16), chunks of 2. Each takes its own first, then what the other has left.
TEST(RunRanges, OwnRangeFirstThenTheOthers) {
  OrderedParallel first({0, 1});
  EXPECT_EQ(Calls(first, 16),
            (std::vector<Call>{
                {0, 0, 2}, {0, 2, 4}, {0, 4, 6}, {0, 6, 8}, {0, 8, 10}, {0, 10, 12}, {0, 12, 14}, {0, 14, 16}}));
  OrderedParallel second({1, 0});
  EXPECT_EQ(Calls(second, 4), (std::vector<Call>{{1, 2, 3}, {1, 3, 4}, {1, 0, 1}, {1, 1, 2}}));
}

TEST(RangeClaims, HelpGoesToTheRangeWithMostLeft) {
  RangeClaims claims(48, 3);  // 16 each, chunks of 4
  RangeClaims::Chunk chunk;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(claims.Next(1, &chunk));  // 4 of [16, 32) left
  ASSERT_TRUE(claims.Next(2, &chunk));                              // 12 of [32, 48) left
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(claims.Next(0, &chunk));
  ASSERT_TRUE(claims.Next(0, &chunk));
  EXPECT_EQ(chunk.begin, 36);
  EXPECT_EQ(chunk.end, 40);
}

// One worker holds its first chunk until all others are computed: nobody may be waiting for the rest of its range.
TEST(RunRanges, AStuckWorkerHoldsUpOneChunk) {
  ComputePool pool(Threads(3));
  ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
  for (int run = 0; run < 20; ++run) {
    constexpr int64_t kItems = 48;  // ranges of 16, chunks of 4
    std::atomic<int64_t> done{0};
    std::atomic<bool> stuck{false};
    lease.RunRanges(kItems, [&](int, int64_t begin, int64_t end) {
      if (!stuck.exchange(true)) {
        while (done.load() < kItems - (end - begin)) std::this_thread::yield();
      }
      done += end - begin;
    });
    ASSERT_EQ(done.load(), kItems);
  }
}

// Scratch memory that goes by worker is written by one thread at a time.
TEST(RunRanges, AWorkerIsOneThreadAtATime) {
  ComputePool pool(Threads(4));
  ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
  std::vector<int64_t> items(4);  // not atomic: ThreadSanitizer sees two threads in one entry
  for (int run = 0; run < 2000; ++run) {
    lease.RunRanges(37,
                    [&](int worker, int64_t begin, int64_t end) { items[static_cast<size_t>(worker)] += end - begin; });
  }
  EXPECT_EQ(items[0] + items[1] + items[2] + items[3], 2000 * 37);
}

}  // namespace
}  // namespace bitrate
