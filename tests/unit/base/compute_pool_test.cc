#include "engine/base/compute_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <map>
#include <thread>
#include <vector>

namespace bitrate {
namespace {

class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(std::chrono::seconds(seconds_.load())); }
  void AdvanceSeconds(int64_t s) { seconds_.fetch_add(s); }

 private:
  std::atomic<int64_t> seconds_{1};
};

ComputePool::Options Threads(int num_threads) {
  ComputePool::Options options;
  options.num_threads = num_threads;
  return options;
}

TEST(ComputePool, EveryWorkerRunsOnceAndTheCallerIsWorkerZero) {
  for (const int workers : {1, 2, 3, 8}) {
    ComputePool pool(Threads(workers));
    EXPECT_EQ(pool.num_workers(), workers);
    ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
    EXPECT_EQ(lease.num_workers(), workers);
    std::vector<int> calls(workers);  // not atomic: Run must order it
    for (int run = 1; run <= 5000; ++run) {
      const std::thread::id caller = std::this_thread::get_id();
      lease.Run([&](int worker) {
        ++calls[worker];
        ASSERT_TRUE(worker != 0 || std::this_thread::get_id() == caller);
      });
      for (int w = 0; w < workers; ++w) ASSERT_EQ(calls[w], run) << "worker " << w << " of " << workers;
    }
  }
}

void Burn(int microseconds) {
  const TimePoint until = Clock::System()->Now() + std::chrono::microseconds(microseconds);
  while (Clock::System()->Now() < until) {
  }
}

// Helpers that have had the time to park, helpers that spin, and helpers in between; shares of very different length.
TEST(ComputePool, NoWakeUpIsLost) {
  ComputePool pool(Threads(4));
  ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
  std::vector<int64_t> sums(4);
  for (int run = 0; run < 600; ++run) {
    Burn(run % 3 == 0 ? 0 : run / 4);
    lease.Run([&](int worker) {
      Burn((run * 7 + worker * 31) % 90);
      sums[worker] += run;
    });
  }
  for (const int64_t sum : sums) EXPECT_EQ(sum, 599 * 600 / 2);
}

TEST(ComputePool, WorkersRunTogether) {
  ComputePool pool(Threads(4));
  ComputePool::Lease lease = pool.Acquire(pool.Register("a"));
  std::barrier meet(4);
  std::atomic<int> met{0};
  for (int run = 0; run < 50; ++run) {
    lease.Run([&](int) {
      meet.arrive_and_wait();  // returns only when all four are inside
      ++met;
      meet.arrive_and_wait();
    });
  }
  EXPECT_EQ(met.load(), 200);
}

TEST(ComputePool, LeasesExcludeEachOther) {
  ComputePool pool(Threads(3));
  int64_t inside = 0, runs = 0;  // not atomic: leases must order them
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&] {
      const ComputePool::ClientId id = pool.Register("client");
      for (int i = 0; i < 200; ++i) {
        ComputePool::Lease lease = pool.Acquire(id);
        ASSERT_EQ(inside++, 0);
        lease.Run([&](int worker) {
          if (worker == lease.num_workers() - 1) ++runs;
        });
        --inside;
      }
      pool.Unregister(id);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(runs, 800);
  EXPECT_EQ(pool.NumWaiting(), 0);
}

TEST(ComputePool, FinishReturnsWhatIsAccumulated) {
  FakeClock clock;
  ComputePool::Options options = Threads(3);
  options.clock = &clock;
  ComputePool pool(options);
  const ComputePool::ClientId a = pool.Register("a"), b = pool.Register("b");
  double total = 0, of_a = 0;
  for (int i = 1; i <= 10; ++i) {
    ComputePool::Lease lease = pool.Acquire(i % 3 == 0 ? b : a);
    clock.AdvanceSeconds(i);
    const double seconds = lease.Finish();
    EXPECT_EQ(seconds, 3.0 * i);  // wall time x workers
    EXPECT_EQ(lease.Finish(), 0.0);
    total += seconds;
    if (i % 3 != 0) of_a += seconds;
  }
  EXPECT_EQ(pool.LeasedSeconds(a), of_a);
  EXPECT_EQ(pool.LeasedSeconds(a) + pool.LeasedSeconds(b), total);
  EXPECT_EQ(pool.TotalLeasedSeconds(), total);
  pool.Unregister(a);
  EXPECT_EQ(pool.LeasedSeconds(a), 0.0);
  EXPECT_EQ(pool.TotalLeasedSeconds(), total);
}

TEST(ComputePool, RealTimeAddsUpExactly) {
  ComputePool pool(Threads(2));
  const ComputePool::ClientId a = pool.Register("a");
  double sum = 0;
  for (int i = 0; i < 1000; ++i) {
    ComputePool::Lease lease = pool.Acquire(a);
    lease.Run([](int) {});
    sum += lease.Finish();
  }
  EXPECT_EQ(pool.LeasedSeconds(a), sum);
  EXPECT_GT(sum, 0.0);
}

TEST(ComputePool, AMovedOrForgottenLeaseGivesThePoolBackOnce) {
  FakeClock clock;
  ComputePool::Options options = Threads(1);
  options.clock = &clock;
  ComputePool pool(options);
  const ComputePool::ClientId a = pool.Register("a");
  {
    ComputePool::Lease first = pool.Acquire(a);
    ComputePool::Lease second = std::move(first);
    clock.AdvanceSeconds(2);
  }
  EXPECT_EQ(pool.LeasedSeconds(a), 2.0);
  pool.Acquire(a).Finish();
  pool.Unregister(a);
}

struct Contender {
  double weight;
  int lease_seconds;
};

// Contenders that always want the pool again, until `leases` turns have been given; returns who had each turn. A
// holder ends its lease only when all others wait, so the order depends on the pool's rule alone.
std::vector<int> Contend(const std::vector<Contender>& contenders, int leases) {
  FakeClock clock;
  ComputePool::Options options = Threads(1);
  options.clock = &clock;
  options.turn_grace = std::chrono::hours(1);  // the holder always comes back
  ComputePool pool(options);
  std::vector<int> turns;
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  const int others = static_cast<int>(contenders.size()) - 1;
  std::vector<ComputePool::ClientId> ids;
  for (const Contender& contender : contenders) ids.push_back(pool.Register("c", contender.weight));
  for (size_t c = 0; c < contenders.size(); ++c) {
    threads.emplace_back([&, c] {
      while (!over) {
        ComputePool::Lease lease = pool.Acquire(ids[c]);
        while (!over && pool.NumWaiting() < others) std::this_thread::yield();
        turns.push_back(static_cast<int>(c));
        if (static_cast<int>(turns.size()) >= leases) over = true;
        clock.AdvanceSeconds(contenders[c].lease_seconds);
      }
      pool.Unregister(ids[c]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  turns.resize(leases);
  return turns;
}

std::map<int, int> Count(const std::vector<int>& turns) {
  std::map<int, int> count;
  for (const int who : turns) ++count[who];
  return count;
}

TEST(ComputePool, SharesFollowWeights) {
  std::map<int, int> count = Count(Contend({{1, 100000}, {2, 100000}, {1, 100000}}, 400));
  EXPECT_NEAR(count[0], 100, 2);
  EXPECT_NEAR(count[1], 200, 2);
  EXPECT_NEAR(count[2], 100, 2);
}

TEST(ComputePool, AHeavyClientKeepsThePoolFromOneOther) {
  std::map<int, int> count = Count(Contend({{3, 100000}, {1, 100000}}, 400));
  EXPECT_NEAR(count[0], 300, 2);
  EXPECT_NEAR(count[1], 100, 2);
}

TEST(ComputePool, SharesAreOfTimeNotOfTurns) {
  std::map<int, int> count = Count(Contend({{1, 50000}, {1, 300000}}, 350));
  EXPECT_NEAR(count[0], 300, 3);
  EXPECT_NEAR(count[1], 50, 3);
}

TEST(ComputePool, AnIdleClientNeitherHoardsNorStarves) {
  FakeClock clock;
  ComputePool::Options options = Threads(1);
  options.clock = &clock;
  options.turn_grace = Duration::zero();
  ComputePool pool(options);
  const ComputePool::ClientId busy = pool.Register("busy"), idle = pool.Register("idle");
  for (int i = 0; i < 100; ++i) {
    ComputePool::Lease lease = pool.Acquire(busy);
    clock.AdvanceSeconds(1);
  }
  // From here both want it all the time: turn by turn, although `idle` used nothing so far.
  std::vector<int> turns;
  std::atomic<bool> over{false};
  const auto client = [&](ComputePool::ClientId id, int who) {
    while (!over) {
      ComputePool::Lease lease = pool.Acquire(id);
      while (!over && pool.NumWaiting() < 1) std::this_thread::yield();
      turns.push_back(who);
      if (turns.size() >= 40) over = true;
      clock.AdvanceSeconds(1);
    }
  };
  std::thread a(client, busy, 0), b(client, idle, 1);
  a.join();
  b.join();
  turns.resize(40);
  EXPECT_NEAR(Count(turns)[1], 20, 2);
}

TEST(ComputePool, AReservationThatIsNotUsedEnds) {
  FakeClock clock;
  ComputePool::Options options = Threads(1);
  options.clock = &clock;
  options.turn_grace = std::chrono::microseconds(200);
  ComputePool pool(options);
  const ComputePool::ClientId heavy = pool.Register("heavy", 100), light = pool.Register("light", 1);
  {  // puts `light` behind, in virtual time ahead
    ComputePool::Lease lease = pool.Acquire(light);
    clock.AdvanceSeconds(50);
  }
  ComputePool::Lease lease = pool.Acquire(heavy);
  std::thread waiter([&] { pool.Acquire(light).Finish(); });
  while (pool.NumWaiting() < 1) std::this_thread::yield();
  clock.AdvanceSeconds(1);
  lease.Finish();  // kept for `heavy`, which never comes back
  waiter.join();
  EXPECT_EQ(pool.NumWaiting(), 0);
}

TEST(ComputePool, WhoLeavesGivesItsReservationUp) {
  FakeClock clock;
  ComputePool::Options options = Threads(1);
  options.clock = &clock;
  options.turn_grace = std::chrono::hours(1);
  ComputePool pool(options);
  const ComputePool::ClientId heavy = pool.Register("heavy", 100), light = pool.Register("light", 1);
  {  // puts `light` behind, in virtual time ahead
    ComputePool::Lease lease = pool.Acquire(light);
    clock.AdvanceSeconds(100000);
  }
  ComputePool::Lease lease = pool.Acquire(heavy);
  std::thread waiter([&] { pool.Acquire(light).Finish(); });
  while (pool.NumWaiting() < 1) std::this_thread::yield();
  clock.AdvanceSeconds(100000);
  lease.Finish();  // kept for `heavy`
  pool.Leave(light);
  EXPECT_EQ(pool.NumWaiting(), 1) << "nothing is kept for light";
  pool.Leave(heavy);
  waiter.join();
  EXPECT_EQ(pool.NumWaiting(), 0);
}

}  // namespace
}  // namespace bitrate
