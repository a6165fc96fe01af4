#include "engine/base/bounded_inbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace bitrate {
namespace {

using Inbox = BoundedInbox<std::unique_ptr<int>>;

TEST(BoundedInbox, KeepsOrderAndDrainsWhole) {
  Inbox inbox(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(inbox.Push(std::make_unique<int>(i)), Inbox::PushResult::kOk);
  EXPECT_EQ(inbox.size(), 3u);
  const auto items = inbox.Drain();
  ASSERT_EQ(items.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*items[i], i);
  EXPECT_TRUE(inbox.Drain().empty());
}

TEST(BoundedInbox, ARefusedItemStaysWithItsOwner) {
  Inbox inbox(1);
  EXPECT_EQ(inbox.Push(std::make_unique<int>(1)), Inbox::PushResult::kOk);
  auto item = std::make_unique<int>(2);
  EXPECT_EQ(inbox.Push(std::move(item)), Inbox::PushResult::kFull);
  ASSERT_NE(item, nullptr);
  inbox.Drain();
  inbox.Close();
  EXPECT_EQ(inbox.Push(std::move(item)), Inbox::PushResult::kClosed);
  EXPECT_EQ(*item, 2);
}

TEST(BoundedInbox, ItemsInsideSurviveClose) {
  Inbox inbox(2);
  EXPECT_EQ(inbox.Push(std::make_unique<int>(5)), Inbox::PushResult::kOk);
  inbox.Close();
  EXPECT_TRUE(inbox.closed());
  EXPECT_EQ(inbox.WaitAndDrain().size(), 1u);
  EXPECT_TRUE(inbox.WaitAndDrain().empty());  // closed: does not wait
}

TEST(BoundedInbox, WakeAndDeadlineEndTheWait) {
  Inbox inbox(2);
  inbox.Wake();
  EXPECT_TRUE(inbox.WaitAndDrain().empty());
  EXPECT_TRUE(inbox.WaitAndDrain(Clock::System()->Now()).empty());
  std::thread waker([&] { inbox.Wake(); });
  EXPECT_TRUE(inbox.WaitAndDrain().empty());
  waker.join();
}

TEST(BoundedInbox, ManyProducersLoseNothing) {
  BoundedInbox<int> inbox(64);
  constexpr int kProducers = 4, kEach = 5000;
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&, p] {
      for (int i = 0; i < kEach; ++i) {
        while (inbox.Push(p * kEach + i) == BoundedInbox<int>::PushResult::kFull) std::this_thread::yield();
      }
    });
  }
  std::vector<int> last(kProducers, -1);
  int received = 0;
  while (received < kProducers * kEach) {
    for (const int item : inbox.WaitAndDrain()) {
      const int producer = item / kEach;
      EXPECT_EQ(item % kEach, last[producer] + 1);  // each producer's order is kept
      last[producer] = item % kEach;
      ++received;
    }
  }
  for (std::thread& producer : producers) producer.join();
}

}  // namespace
}  // namespace bitrate
