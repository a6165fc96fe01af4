// Digests of bytes: every bit counts, and the number of workers does not.
#include "engine/base/fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace bitrate {
namespace {

class Threads final : public Parallel {
 public:
  explicit Threads(int workers) : workers_(workers) {}
  int num_workers() const override { return workers_; }
  void Run(absl::FunctionRef<void(int worker)> fn) override {
    std::vector<std::thread> threads;
    for (int w = 0; w < workers_; ++w) threads.emplace_back([&fn, w] { fn(w); });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  int workers_;
};

TEST(BlockDigest, WorkersChangeNothing) {
  std::vector<std::byte> bytes((1 << 20) + 77);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 >> 3);
  InlineParallel alone;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{128} << 10, (size_t{128} << 10) + 1, bytes.size()}) {
    const std::span<const std::byte> part(bytes.data(), size);
    for (const int workers : {2, 3, 16}) {
      Threads threads(workers);
      EXPECT_TRUE(BlockDigest(part, threads) == BlockDigest(part, alone)) << size << " " << workers;
    }
  }
}

TEST(BlockDigest, EveryBlockItsPlaceAndTheLengthCount) {
  std::vector<std::byte> bytes(size_t{1} << 20);
  InlineParallel alone;
  const Digest128 zeros = BlockDigest(bytes, alone);
  std::vector<Digest128> seen = {zeros, BlockDigest(std::span(bytes).first(bytes.size() - 1), alone)};
  for (size_t at = 5; at < bytes.size(); at += 128 << 10) {
    bytes[at] = std::byte{1};
    seen.push_back(BlockDigest(bytes, alone));
    bytes[at] = std::byte{0};
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_FALSE(seen[i] == seen[j]) << i << " " << j;
  }
}

}  // namespace
}  // namespace bitrate
