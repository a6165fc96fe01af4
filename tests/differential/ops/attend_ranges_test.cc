// One chunk of attention with ragged ranges of visible keys: vectors that are computed together may see overlapping,
// nested or disjoint keys. Keys that a vector does not see hold NaN or infinity, and so does the scratch: whatever of
// it enters a vector's arithmetic shows. Against f64 over the visible keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/half.h"
#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A chunk with its queries; keys and values are stored as `dtype`, tile by tile, and kept as f32 for the reference.
struct Chunk {
  int head_dim = 0;
  std::vector<float> q, k, v;               // [n, D], [128, D], [128, D]
  std::vector<int> first, last;             // [n]
  std::vector<bool> poisoned;               // [128]
  std::vector<std::byte> k_bytes, v_bytes;  // [8, D, 16], [8, 16, D]
  int n() const { return static_cast<int>(first.size()); }
};

float Store(DType dtype, float x, std::byte* at) {
  if (dtype == DType::kF32) {
    *reinterpret_cast<float*>(at) = x;
    return x;
  }
  const uint16_t bits = dtype == DType::kBF16 ? ToBf16(x).bits : ToFp16(x).bits;
  *reinterpret_cast<uint16_t*>(at) = bits;
  return dtype == DType::kBF16 ? ToFloat(Bf16{bits}) : ToFloat(Fp16{bits});
}

// How the ranges of neighbours lie: sliding windows narrower than their distance are disjoint, wider ones overlap.
void MakeRanges(int n, int trial, std::mt19937* rng, Chunk* chunk) {
  const auto below = [&](int bound) { return static_cast<int>((*rng)() % static_cast<unsigned>(bound)); };
  const int step = 1 + below(24), width = 1 + below(40), start = below(40);
  for (int i = 0; i < n; ++i) {
    int first = std::min(start + i * step, kKvChunkTokens - 1), last = std::min(first + width, kKvChunkTokens);
    if (trial % 3 == 1) first = below(kKvChunkTokens), last = first + 1 + below(kKvChunkTokens - first);
    if (trial % 3 == 2) first = 0, last = std::min(start + i + 1, kKvChunkTokens);
    chunk->first.push_back(first);
    chunk->last.push_back(last);
  }
}

Chunk MakeChunk(DType dtype, int n, int head_dim, int trial, std::mt19937* rng) {
  Chunk chunk;
  chunk.head_dim = head_dim;
  chunk.q = Normal(rng, static_cast<size_t>(n * head_dim));
  chunk.k = Normal(rng, static_cast<size_t>(kKvChunkTokens * head_dim));
  chunk.v = Normal(rng, static_cast<size_t>(kKvChunkTokens * head_dim));
  MakeRanges(n, trial, rng, &chunk);
  // Every key outside one vector's range: each trial looks at one vector (and those that see no more than it does).
  const int looked_at = trial % n;
  for (int key = 0; key < kKvChunkTokens; ++key) {
    chunk.poisoned.push_back(key < chunk.first[looked_at] || key >= chunk.last[looked_at]);
  }
  const size_t bytes = DTypeBytes(dtype);
  chunk.k_bytes.resize(chunk.k.size() * bytes);
  chunk.v_bytes.resize(chunk.v.size() * bytes);
  for (int key = 0; key < kKvChunkTokens; ++key) {
    for (int d = 0; d < head_dim; ++d) {
      float& k = chunk.k[static_cast<size_t>(key * head_dim + d)];
      float& v = chunk.v[static_cast<size_t>(key * head_dim + d)];
      if (chunk.poisoned[key]) k = v = key % 2 == 0 ? kNan : std::numeric_limits<float>::infinity();
      const int tile = key / kVecLanes, lane = key % kVecLanes;
      const int k_index = (tile * head_dim + d) * kVecLanes + lane, v_index = (tile * kVecLanes + lane) * head_dim + d;
      k = Store(dtype, k, chunk.k_bytes.data() + k_index * bytes);
      v = Store(dtype, v, chunk.v_bytes.data() + v_index * bytes);
    }
  }
  return chunk;
}

// acc / sum [n, D] of the kernel.
std::vector<float> Attend(const VecOps& ops, DType dtype, const Chunk& chunk) {
  const int n = chunk.n(), padded = (chunk.head_dim + 15) / 16 * 16;
  std::vector<const float*> q;
  for (int i = 0; i < n; ++i) q.push_back(chunk.q.data() + i * chunk.head_dim);
  std::vector<float> scores(static_cast<size_t>(n * kKvChunkTokens), kNan), max(n), sum(n);
  std::vector<float> acc(static_cast<size_t>(n * padded), kNan), out;
  const size_t tile_bytes = DTypeBytes(dtype) * static_cast<size_t>(chunk.head_dim * kVecLanes);
  const void *k_tiles[kKvChunkTiles] = {}, *v_tiles[kKvChunkTiles] = {};
  const int begin = *std::min_element(chunk.first.begin(), chunk.first.end());
  const int end = *std::max_element(chunk.last.begin(), chunk.last.end());
  for (int t = begin / kVecLanes; t * kVecLanes < end; ++t) {
    k_tiles[t] = chunk.k_bytes.data() + static_cast<size_t>(t) * tile_bytes;
    v_tiles[t] = chunk.v_bytes.data() + static_cast<size_t>(t) * tile_bytes;
  }
  AttendArgs args{};
  args.q = q.data();
  args.n = n;
  args.first = chunk.first.data();
  args.last = chunk.last.data();
  args.head_dim = chunk.head_dim;
  args.k_tiles = k_tiles;
  args.k_stride = kVecLanes;
  args.v_tiles = v_tiles;
  args.scale = 0.125f;
  args.scores = scores.data();
  args.max = max.data();
  args.sum = sum.data();
  args.acc = acc.data();
  args.acc_stride = padded;
  (dtype == DType::kF32 ? ops.attend_f32 : dtype == DType::kBF16 ? ops.attend_bf16 : ops.attend_fp16)(args);
  for (int i = 0; i < n; ++i) {
    for (int d = 0; d < chunk.head_dim; ++d) out.push_back(acc[static_cast<size_t>(i * padded + d)] / sum[i]);
  }
  return out;
}

std::vector<double> Reference(const Chunk& chunk, int vector) {
  std::vector<double> p, out(chunk.head_dim);
  double max = -1e300, sum = 0;
  for (int key = chunk.first[vector]; key < chunk.last[vector]; ++key) {
    double dot = 0;
    for (int d = 0; d < chunk.head_dim; ++d) {
      dot += double{chunk.q[vector * chunk.head_dim + d]} * chunk.k[key * chunk.head_dim + d];
    }
    p.push_back(dot * 0.125);
    max = std::max(max, p.back());
  }
  for (double& x : p) sum += x = std::exp(x - max);
  for (size_t i = 0; i < p.size(); ++i) {
    const size_t key = static_cast<size_t>(chunk.first[vector]) + i;
    for (int d = 0; d < chunk.head_dim; ++d) out[d] += p[i] / sum * chunk.v[key * chunk.head_dim + d];
  }
  return out;
}

class AttendRangesTest : public testing::TestWithParam<DType> {};

TEST_P(AttendRangesTest, UnseenKeysNeverEnter) {
  std::mt19937 rng(5);
  int compared = 0, disjoint = 0;
  for (int trial = 0; trial < 240; ++trial) {
    const int n = 1 + trial % 13, head_dim = trial % 2 == 0 ? 32 : 20;
    const Chunk chunk = MakeChunk(GetParam(), n, head_dim, trial, &rng);
    for (int i = 1; i < n; ++i) {
      disjoint += chunk.first[i] >= chunk.last[i - 1] || chunk.last[i] <= chunk.first[i - 1];
    }
    for (const NamedOps& named : AllOps()) {
      const std::vector<float> got = Attend(*named.ops, GetParam(), chunk);
      for (int i = 0; i < n; ++i) {
        bool clean = true;
        for (int key = chunk.first[i]; key < chunk.last[i]; ++key) clean = clean && !chunk.poisoned[key];
        if (!clean) continue;
        ++compared;
        const std::vector<double> want = Reference(chunk, i);
        for (int d = 0; d < head_dim; ++d) {
          ASSERT_NEAR(got[i * head_dim + d], want[d], 5e-6)
              << named.name << " trial " << trial << " vector " << i << " of " << n << ", keys " << chunk.first[i]
              << " to " << chunk.last[i];
        }
      }
    }
  }
  EXPECT_GE(compared, 240) << "a vector of every trial is clean";
  EXPECT_GT(disjoint, 100) << "neighbours that see nothing in common must occur";
}

INSTANTIATE_TEST_SUITE_P(Types, AttendRangesTest, testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace bitrate::ops_test
