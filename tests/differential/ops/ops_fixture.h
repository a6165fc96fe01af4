// What the tests of the row operators and of attention share: every table of operators that can run here, a paged cache
// full of NaN, and a sequence whose attention is computed in any division into steps.
#ifndef BITRATE_TESTS_DIFFERENTIAL_OPS_OPS_FIXTURE_H_
#define BITRATE_TESTS_DIFFERENTIAL_OPS_OPS_FIXTURE_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate::ops_test {

struct NamedOps {
  std::string name;
  const VecOps* ops;
};
// Scalar, what this CPU runs, and AVX-512 through an emulation of its intrinsics.
std::vector<NamedOps> AllOps();
const VecOps& EmulatedAvx512VecOps();

std::vector<float> Normal(std::mt19937* rng, size_t n, float scale = 1.0f);

struct AttentionSetup {
  AttentionSpec spec;
  KvGeometry geometry;
  int rotary_dim = 0;
};
// scale = D^-0.5, rotary_dim = D, 2 layers.
AttentionSetup MakeSetup(DType dtype, int num_heads, int num_kv_heads, int head_dim, int block_tokens = 16);

// cos and sin [positions, rotary_dim / 2] of theta 10000, rounded from f64.
struct Rope {
  std::vector<float> cos, sin;
  int rotary_dim;
  RopeTable table() const { return {cos, sin, rotary_dim}; }
};
Rope MakeRope(int positions, int rotary_dim);

// Blocks in scattered order, all bytes NaN (0xff) at first.
class PagedCache {
 public:
  PagedCache(const KvGeometry& geometry, int num_blocks, uint32_t seed);
  int TakeBlock();
  std::byte* base() { return bytes_.data(); }
  const std::byte* base() const { return bytes_.data(); }
  const KvGeometry& geometry() const { return geometry_; }
  // The stored value as f32; v: of the values, else of the keys.
  float At(int block, int layer, int kv_head, int slot, int d, bool v) const;

 private:
  KvGeometry geometry_;
  AlignedBuffer<std::byte> bytes_;
  std::vector<int> free_;
};

// One sequence: its unrotated qkv rows and, after the steps, its outputs.
struct Sequence {
  int length = 0;
  std::vector<float> qkv;      // [T, (H + 2 Hkv) * D]
  std::vector<float> rotated;  // the same after the step that ran each row
  std::vector<float> out;      // [T, H * D]
  std::vector<int32_t> blocks;
  int done = 0;
};
Sequence MakeSequence(const AttentionSetup& setup, int length, std::mt19937* rng, PagedCache* cache);

// One step: the next counts[i] tokens of sequences[i] (0 leaves an empty entry), rope + store + attention of `layer`.
void RunStep(const VecOps& ops, Parallel* parallel, const AttentionSetup& setup, const Rope& rope, int layer,
             PagedCache* cache, const std::vector<Sequence*>& sequences, const std::vector<int>& counts);

// Attention of one row in f64 over keys and values as stored; [H * D].
std::vector<double> NaiveAttention(const AttentionSetup& setup, int layer, const PagedCache& cache,
                                   const Sequence& sequence, int row);

}  // namespace bitrate::ops_test

#endif  // BITRATE_TESTS_DIFFERENTIAL_OPS_OPS_FIXTURE_H_
