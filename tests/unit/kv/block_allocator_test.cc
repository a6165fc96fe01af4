#include "engine/kv/block_allocator.h"

#include <gtest/gtest.h>

#include <set>

namespace bitrate {
namespace {

TEST(BlockAllocator, GivesEachBlockOnceAndThenNone) {
  BlockAllocator allocator(3);
  std::set<BlockId> blocks;
  for (int i = 0; i < 3; ++i) blocks.insert(allocator.Allocate());
  EXPECT_EQ(blocks, (std::set<BlockId>{0, 1, 2}));
  EXPECT_EQ(allocator.Allocate(), kNoBlock);
  EXPECT_EQ(allocator.num_used(), 3);
  EXPECT_TRUE(allocator.Unreference(1));
  EXPECT_EQ(allocator.Allocate(), 1);
  EXPECT_EQ(allocator.CheckInvariants({1, 1, 1}), "");
}

TEST(BlockAllocator, ABlockIsFreeWhenItsLastHolderLeaves) {
  BlockAllocator allocator(1);
  const BlockId block = allocator.Allocate();
  allocator.Reference(block);
  EXPECT_FALSE(allocator.Unreference(block));
  EXPECT_EQ(allocator.num_free(), 0);
  EXPECT_TRUE(allocator.Unreference(block));
  EXPECT_EQ(allocator.num_free(), 1);
}

TEST(BlockAllocator, ARetainedBlockIsCachedUntilRetentionEnds) {
  BlockAllocator allocator(2);
  const BlockId block = allocator.Allocate();
  allocator.SetRetained(block, true);
  EXPECT_TRUE(allocator.Unreference(block));
  EXPECT_EQ(allocator.num_cached(), 1);
  EXPECT_EQ(allocator.num_free(), 1);
  allocator.Reference(block);
  EXPECT_EQ(allocator.num_cached(), 0);
  EXPECT_TRUE(allocator.Unreference(block));
  allocator.SetRetained(block, false);
  EXPECT_EQ(allocator.num_free(), 2);
  EXPECT_EQ(allocator.CheckInvariants({0, 0}), "");
}

TEST(BlockAllocator, TheCheckNoticesAHolderThatIsNotCounted) {
  BlockAllocator allocator(2);
  const BlockId block = allocator.Allocate();
  std::vector<int> holders(2, 0);
  holders[block] = 2;
  EXPECT_NE(allocator.CheckInvariants(holders), "");
  holders[block] = 0;
  EXPECT_NE(allocator.CheckInvariants(holders), "");
  holders[block] = 1;
  EXPECT_EQ(allocator.CheckInvariants(holders), "");
}

TEST(BlockAllocator, NothingToGive) {
  BlockAllocator allocator(0);
  EXPECT_EQ(allocator.Allocate(), kNoBlock);
  EXPECT_EQ(allocator.CheckInvariants(), "");
}

}  // namespace
}  // namespace bitrate
