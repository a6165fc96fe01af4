#include "engine/kv/kv_cache.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace bitrate {
namespace {

KvGeometry Geometry() {
  KvGeometry geometry;
  geometry.dtype = DType::kBF16;
  geometry.num_layers = 3;
  geometry.num_kv_heads = 2;
  geometry.head_dim = 64;
  geometry.block_tokens = 16;
  return geometry;
}

TEST(KvCache, HoldsAllBlocksAlignedAndZero) {
  auto cache = KvCache::Create(Geometry(), 5);
  ASSERT_TRUE(cache.ok()) << cache.status();
  // 2 (K and V) x 64 x 16 x 2 bytes x 2 heads x 3 layers x 5 blocks.
  EXPECT_EQ(cache->bytes(), 2u * 64 * 16 * 2 * 2 * 3 * 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache->base()) % 64, 0u);
  for (uint64_t i = 0; i < cache->bytes(); ++i) ASSERT_EQ(cache->base()[i], std::byte{0});
  std::memset(cache->base(), 7, cache->bytes());
}

TEST(KvCache, MovesItsMemory) {
  auto cache = KvCache::Create(Geometry(), 1);
  ASSERT_TRUE(cache.ok());
  std::byte* base = cache->base();
  KvCache moved = *std::move(cache);
  EXPECT_EQ(moved.base(), base);
  moved.base()[0] = std::byte{1};
}

TEST(KvCache, RefusesWhatCannotBe) {
  EXPECT_EQ(KvCache::Create(Geometry(), 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(KvCache::Create(Geometry(), -1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(KvCache::Create(Geometry(), std::numeric_limits<int64_t>::max()).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(KvCache::Create(Geometry(), int64_t{1} << 42).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bitrate
