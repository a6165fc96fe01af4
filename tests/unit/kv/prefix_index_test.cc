#include "engine/kv/prefix_index.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "engine/kv/block_pool.h"

namespace bitrate {
namespace {

constexpr int kBlockTokens = 4;

std::vector<int32_t> Tokens(int count, int32_t first = 0) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

uint64_t SameForAll(uint64_t, std::span<const int32_t>) { return 42; }

class PrefixIndexTest : public testing::TestWithParam<PrefixHash> {
 protected:
  PrefixIndexTest() : pool_(std::make_unique<BlockAllocator>(8), kBlockTokens, GetParam()) {}
  ~PrefixIndexTest() override { EXPECT_EQ(pool_.index().CheckInvariants(), ""); }

  // Computes `tokens` as a sequence does, registers the full blocks and gives them up.
  BlockTable Leave(const std::vector<int32_t>& tokens, const std::string& seed) {
    BlockTable table = Hold(tokens, seed);
    BlockTable blocks = table;
    pool_.Release(&table);
    return blocks;
  }
  BlockTable Hold(const std::vector<int32_t>& tokens, const std::string& seed) {
    PrefixCursor cursor = pool_.index().Root(seed);
    BlockTable table;
    EXPECT_TRUE(pool_.Take(static_cast<int64_t>(tokens.size()) / kBlockTokens, &table));
    for (size_t i = 0; i < table.size(); ++i) {
      pool_.Register(std::span(tokens).subspan(i * kBlockTokens, kBlockTokens), static_cast<int>(i), &cursor, &table);
    }
    return table;
  }
  // Blocks that a prompt finds.
  BlockTable Find(const std::vector<int32_t>& tokens, const std::string& seed, int max_blocks = 100) {
    PrefixCursor cursor = pool_.index().Root(seed);
    BlockTable table;
    pool_.index().Match(tokens, max_blocks, &cursor, &table);
    const BlockTable found = table;
    pool_.Release(&table);
    return found;
  }

  BlockPool pool_;
};

// Every test runs a second time with a hash that is the same for everything: only the comparison of tokens is left.
INSTANTIATE_TEST_SUITE_P(Hashes, PrefixIndexTest, testing::Values(nullptr, SameForAll),
                         [](const auto& info) { return info.param == nullptr ? "Normal" : "AllCollide"; });

TEST_P(PrefixIndexTest, FindsTheLongestPrefixOfFullBlocks) {
  const BlockTable left = Leave(Tokens(12), "s");
  EXPECT_EQ(Find(Tokens(12), "s"), left);
  EXPECT_EQ(Find(Tokens(11), "s"), BlockTable(left.begin(), left.begin() + 2));
  EXPECT_EQ(Find(Tokens(12), "s", 1), BlockTable(left.begin(), left.begin() + 1));
  EXPECT_EQ(Find(Tokens(3), "s"), BlockTable());
  std::vector<int32_t> differs = Tokens(12);
  differs[5] = 99;
  EXPECT_EQ(Find(differs, "s"), BlockTable(left.begin(), left.begin() + 1));
}

TEST_P(PrefixIndexTest, TheSameTokensBehindAnotherPrefixAreNoHit) {
  const std::vector<int32_t> tail = Tokens(4, 50);
  std::vector<int32_t> a = Tokens(4, 0), b = Tokens(4, 10);
  a.insert(a.end(), tail.begin(), tail.end());
  b.insert(b.end(), tail.begin(), tail.end());
  Leave(a, "s");
  EXPECT_EQ(Find(b, "s"), BlockTable());
  const BlockTable left = Leave(b, "s");
  EXPECT_EQ(Find(b, "s"), left);
  EXPECT_EQ(Find(tail, "s"), BlockTable());  // it is known only behind the others
}

TEST_P(PrefixIndexTest, NoHitAcrossSeeds) {
  const BlockTable a = Leave(Tokens(8), MakePrefixSeed("m:int4", "", "tenant-a"));
  EXPECT_EQ(Find(Tokens(8), MakePrefixSeed("m:int4", "", "tenant-b")), BlockTable());
  EXPECT_EQ(Find(Tokens(8), MakePrefixSeed("m:int8", "", "tenant-a")), BlockTable());
  EXPECT_EQ(Find(Tokens(8), MakePrefixSeed("m:int4", "lora", "tenant-a")), BlockTable());
  const BlockTable b = Leave(Tokens(8), MakePrefixSeed("m:int4", "", "tenant-b"));
  EXPECT_EQ(Find(Tokens(8), MakePrefixSeed("m:int4", "", "tenant-a")), a);
  EXPECT_EQ(Find(Tokens(8), MakePrefixSeed("m:int4", "", "tenant-b")), b);
}

TEST(PrefixSeed, PartsCannotRunIntoEachOther) {
  EXPECT_NE(MakePrefixSeed("a", "b", "c", "long"), MakePrefixSeed("a", "b", "c"));
  EXPECT_NE(MakePrefixSeed("a", "b", "c", "long"), MakePrefixSeed("a", "b", "clong"));
  EXPECT_NE(MakePrefixSeed("ab", "c", ""), MakePrefixSeed("a", "bc", ""));
  EXPECT_NE(MakePrefixSeed("a", "", "1:b"), MakePrefixSeed("a", "1:b", ""));
}

TEST_P(PrefixIndexTest, EvictsTheLeastRecentlyUsedLeafFirst) {
  const BlockTable a = Leave(Tokens(8, 0), "s");
  const BlockTable b = Leave(Tokens(8, 100), "s");
  Find(Tokens(8, 0), "s");  // touches a
  BlockTable table;
  ASSERT_TRUE(pool_.Take(4, &table));  // the free ones
  ASSERT_TRUE(pool_.Take(1, &table));
  EXPECT_EQ(table.back(), b[1]);
  EXPECT_EQ(Find(Tokens(8, 100), "s"), BlockTable({b[0]}));
  ASSERT_TRUE(pool_.Take(1, &table));
  EXPECT_EQ(table.back(), a[1]) << "b[0] was just used";
  pool_.Release(&table);
}

TEST_P(PrefixIndexTest, HeldBlocksAreNotEvicted) {
  BlockTable held = Hold(Tokens(8), "s");
  BlockTable table;
  EXPECT_FALSE(pool_.Take(7, &table));
  EXPECT_TRUE(table.empty());
  ASSERT_TRUE(pool_.Take(6, &table));
  EXPECT_FALSE(pool_.index().EvictOne());
  pool_.Release(&table);
  pool_.Release(&held);
}

TEST_P(PrefixIndexTest, EqualContentIsStoredOnce) {
  BlockTable first = Hold(Tokens(8), "s");
  BlockTable second = Hold(Tokens(8), "s");
  EXPECT_EQ(first, second);
  EXPECT_EQ(pool_.allocator().num_used(), 2);
  EXPECT_EQ(pool_.CheckInvariants({&first, &second}), "");
  pool_.Release(&first);
  pool_.Release(&second);
  EXPECT_EQ(pool_.allocator().num_cached(), 2);
}

TEST_P(PrefixIndexTest, ForgettingTakesWhatWasBuiltOnIt) {
  const BlockTable left = Leave(Tokens(12), "s");
  std::vector<int32_t> branch = Tokens(8);
  branch[7] = 77;
  Leave(branch, "s");
  BlockTable held = Hold(Tokens(4), "s");
  pool_.index().Forget(left[1]);
  EXPECT_EQ(Find(Tokens(12), "s"), BlockTable({left[0]}));
  EXPECT_EQ(Find(branch, "s").size(), 2u);
  pool_.Forget(held);
  EXPECT_EQ(Find(branch, "s"), BlockTable());
  EXPECT_EQ(pool_.index().num_nodes(), 0);
  EXPECT_EQ(pool_.CheckInvariants({&held}), "");
  pool_.Release(&held);
  EXPECT_EQ(pool_.allocator().num_free(), 8);
}

TEST_P(PrefixIndexTest, ACursorWhoseNodeIsGoneRegistersNothing) {
  const std::vector<int32_t> tokens = Tokens(8);
  PrefixCursor cursor = pool_.index().Root("s");
  BlockTable table;
  ASSERT_TRUE(pool_.Take(2, &table));
  pool_.Register(std::span(tokens).first(4), 0, &cursor, &table);
  pool_.index().Forget(table[0]);
  pool_.Register(std::span(tokens).last(4), 1, &cursor, &table);
  EXPECT_FALSE(cursor.valid);
  EXPECT_EQ(pool_.index().num_nodes(), 0);
  pool_.Release(&table);
}

TEST_P(PrefixIndexTest, SeedsOfEvictedBlocksAreForgotten) {
  for (int tenant = 0; tenant < 1000; ++tenant) Leave(Tokens(8), std::to_string(tenant));
  EXPECT_LE(pool_.index().num_nodes(), 8);
  EXPECT_EQ(Find(Tokens(8), "0"), BlockTable());
  EXPECT_EQ(Find(Tokens(8), "999").size(), 2u);
}

}  // namespace
}  // namespace bitrate
