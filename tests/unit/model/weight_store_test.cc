#include "engine/model/weight_store.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/unit/model/fakes.h"

namespace bitrate {
namespace {

std::shared_ptr<const LinearOp> MakeOp(const FakeBackend& backend) {
  const std::vector<float> data(16);
  WeightMatrix matrix;
  matrix.name = "w";
  matrix.n = matrix.k = 4;
  LinearSpec spec;
  spec.parts = {&matrix, 1};
  InlineParallel parallel;
  ScratchArena scratch;
  ExecContext context = {&parallel, &scratch};
  return *backend.PrepareLinear(spec, context);
}

TEST(WeightStore, SharesWhileSomebodyHolds) {
  FakeBackend backend;
  WeightStore store;
  const auto prepare = [&]() -> StatusOr<std::shared_ptr<const LinearOp>> { return MakeOp(backend); };
  auto first = store.GetOrPrepare("a", prepare);
  auto second = store.GetOrPrepare("a", prepare);
  auto other = store.GetOrPrepare("b", prepare);
  EXPECT_FALSE(first->shared);
  EXPECT_TRUE(second->shared);
  EXPECT_EQ(first->op, second->op);
  EXPECT_NE(first->op, other->op);
  EXPECT_EQ(store.num_live(), 2u);
  first->op = nullptr;
  second->op = nullptr;
  EXPECT_EQ(store.num_live(), 1u);
  EXPECT_FALSE(store.GetOrPrepare("a", prepare)->shared);
  EXPECT_EQ(backend.prepared.size(), 3u);
}

TEST(WeightStore, FailureIsNotStored) {
  WeightStore store;
  EXPECT_FALSE(
      store.GetOrPrepare("a", []() -> StatusOr<std::shared_ptr<const LinearOp>> { return Internal("no"); }).ok());
  FakeBackend backend;
  const auto entry =
      store.GetOrPrepare("a", [&]() -> StatusOr<std::shared_ptr<const LinearOp>> { return MakeOp(backend); });
  EXPECT_TRUE(entry.ok());
}

TEST(WeightStore, ConcurrentLoadsEndWithOneTensor) {
  WeightStore store;
  std::vector<std::shared_ptr<const LinearOp>> ops(8);
  std::vector<std::thread> threads;
  for (auto& op : ops) {
    threads.emplace_back([&] {
      FakeBackend backend;
      op = store.GetOrPrepare("a", [&]() -> StatusOr<std::shared_ptr<const LinearOp>> { return MakeOp(backend); })->op;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& op : ops) EXPECT_EQ(op, ops.front());
}

TEST(Fingerprint, EveryBitAndTheLengthCount) {
  std::set<std::string> seen;
  std::vector<std::byte> bytes(71);
  seen.insert(Fingerprint(bytes));
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    bytes[i / 8] ^= std::byte{1} << (i % 8);
    seen.insert(Fingerprint(bytes));
    bytes[i / 8] ^= std::byte{1} << (i % 8);
  }
  for (size_t size = 0; size < bytes.size(); ++size) seen.insert(Fingerprint({bytes.data(), size}));
  EXPECT_EQ(seen.size(), 1 + 71 * 8 + 71u);
}

TEST(WeightKey, DependsOnBytesNotOnAddresses) {
  const FakeBackend backend;
  std::vector<float> data(16, 1.0f);
  const auto key = [&](const std::vector<float>& values, std::string_view digest = "d", const char* name = "w") {
    WeightMatrix matrix;
    matrix.name = name;
    matrix.n = matrix.k = 4;
    matrix.data = std::as_bytes(std::span<const float>(values));
    LinearSpec spec;
    spec.parts = {&matrix, 1};
    return WeightKey(digest, spec, backend);
  };
  const std::vector<float> copy = data;
  EXPECT_EQ(key(data), key(copy));
  EXPECT_NE(key(data), key(copy, "e"));
  EXPECT_NE(key(data), key(copy, "d", "v"));
  const std::string before = key(data);
  data[7] = 2.0f;
  EXPECT_NE(key(data), before);
}

}  // namespace
}  // namespace bitrate
