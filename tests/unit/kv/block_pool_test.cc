#include "engine/kv/block_pool.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitrate {
namespace {

TEST(BlockPool, TakesAllOrNone) {
  BlockPool pool(std::make_unique<BlockAllocator>(4), 16);
  BlockTable a, b;
  EXPECT_TRUE(pool.Take(3, &a));
  EXPECT_FALSE(pool.Take(2, &b));
  EXPECT_TRUE(b.empty());
  EXPECT_TRUE(pool.Take(0, &b));
  EXPECT_EQ(pool.num_available(), 1);
  EXPECT_EQ(pool.CheckInvariants({&a, &b}), "");
  pool.Release(&a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(pool.num_available(), 4);
}

TEST(BlockPool, CountsBlocksThatNobodyElseHolds) {
  BlockPool pool(std::make_unique<BlockAllocator>(4), 2);
  const std::vector<int32_t> tokens = {1, 2};
  PrefixCursor cursor = pool.index().Root("");
  BlockTable a, b;
  ASSERT_TRUE(pool.Take(2, &a));
  pool.Register(tokens, 0, &cursor, &a);
  PrefixCursor other = pool.index().Root("");
  ASSERT_EQ(pool.index().Match(tokens, 1, &other, &b), 1);
  EXPECT_EQ(pool.NumExclusive(a), 1);
  EXPECT_EQ(pool.NumExclusive(b), 0);
  pool.Release(&a);
  EXPECT_EQ(pool.NumExclusive(b), 1);
  pool.Release(&b);
}

TEST(BlockPool, NoticesATableThatWasNotReleased) {
  BlockPool pool(std::make_unique<BlockAllocator>(2), 16);
  BlockTable table;
  ASSERT_TRUE(pool.Take(1, &table));
  EXPECT_EQ(pool.CheckInvariants({&table}), "");
  EXPECT_NE(pool.CheckInvariants({}), "");
  EXPECT_NE(pool.CheckInvariants({&table, &table}), "");
}

TEST(BlocksFor, RoundsUp) {
  EXPECT_EQ(BlocksFor(0, 16), 0);
  EXPECT_EQ(BlocksFor(1, 16), 1);
  EXPECT_EQ(BlocksFor(16, 16), 1);
  EXPECT_EQ(BlocksFor(17, 16), 2);
}

}  // namespace
}  // namespace bitrate
