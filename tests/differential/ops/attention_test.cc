// Attention against f64 over the cache as stored, and its promise: a row's output has the same bits for every ISA,
// division into steps, company in the batch, block order and number of workers.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "engine/backend/cpu/ops_rows.h"
#include "engine/base/compute_pool.h"
#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

struct Case {
  DType dtype;
  int num_heads, num_kv_heads, head_dim, block_tokens, window;
  float softcap;
  int rotary_dim;  // 0: all
};

// Letters, digits and _ only: it becomes a test name.
std::string Describe(const Case& c) {
  return fmt::format("{}_H{}_Hkv{}_D{}_block{}_window{}_softcap{}_rotary{}", DTypeName(c.dtype), c.num_heads,
                     c.num_kv_heads, c.head_dim, c.block_tokens, c.window, static_cast<int>(c.softcap), c.rotary_dim);
}

const Case kCases[] = {
    {DType::kF32, 9, 3, 64, 16, 0, 0, 0},    {DType::kF16, 9, 3, 64, 16, 0, 0, 0},
    {DType::kBF16, 9, 3, 64, 16, 0, 0, 0},   {DType::kF32, 4, 4, 16, 16, 0, 0, 0},
    {DType::kBF16, 8, 2, 128, 32, 0, 0, 64}, {DType::kF16, 8, 1, 32, 64, 0, 0, 0},
    {DType::kF32, 8, 1, 80, 16, 0, 0, 32},   {DType::kF16, 6, 2, 72, 16, 100, 0, 0},
    {DType::kF32, 3, 1, 20, 16, 17, 0, 0},   {DType::kBF16, 9, 3, 64, 16, 128, 0, 0},
    {DType::kF32, 5, 1, 64, 16, 1, 0, 0},    {DType::kF16, 9, 3, 64, 16, 0, 20, 0},
    {DType::kF32, 9, 3, 64, 5, 0, 0, 0},     {DType::kF16, 4, 2, 40, 24, 130, 30, 0},
    {DType::kBF16, 7, 1, 96, 16, 0, 0, 0},   {DType::kF32, 50, 1, 16, 16, 0, 0, 0},
    {DType::kI8, 9, 3, 64, 16, 0, 0, 0},     {DType::kI8, 4, 1, 128, 32, 0, 0, 0},
    {DType::kI8, 6, 2, 72, 16, 100, 0, 0},   {DType::kI8, 9, 3, 64, 5, 0, 20, 0},
    {DType::kI8, 3, 3, 20, 16, 1, 0, 0},     {DType::kF16, 4, 4, 32, 16, 3, 0, 0},
};

AttentionSetup SetupOf(const Case& c) {
  AttentionSetup setup = MakeSetup(c.dtype, c.num_heads, c.num_kv_heads, c.head_dim, c.block_tokens);
  setup.spec.window = c.window;
  setup.spec.softcap = c.softcap;
  if (c.rotary_dim > 0) setup.rotary_dim = c.rotary_dim;
  return setup;
}

class AttentionTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr int kLength = 300;
  AttentionTest() : setup_(SetupOf(GetParam())), rope_(MakeRope(kLength, setup_.rotary_dim)) {}

  // One sequence alone, in steps of the given sizes (the last one repeats).
  Sequence RunAlone(const VecOps& ops, Parallel* parallel, std::vector<int> steps, uint32_t blocks_seed, int length) {
    PagedCache cache(setup_.geometry, kLength / setup_.geometry.block_tokens + 5, blocks_seed);
    std::mt19937 rng(7);
    Sequence sequence = MakeSequence(setup_, length, &rng, &cache);
    for (size_t i = 0; sequence.done < length; ++i) {
      const int count = std::min(steps[std::min(i, steps.size() - 1)], length - sequence.done);
      RunStep(ops, parallel, setup_, rope_, 1, &cache, {&sequence}, {count});
    }
    return sequence;
  }

  void ExpectSameBits(const Sequence& want, const Sequence& got, const std::string& what) {
    for (size_t i = 0; i < got.out.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(want.out[i]), std::bit_cast<uint32_t>(got.out[i]))
          << what << ": row " << i / (setup_.spec.num_heads * setup_.spec.head_dim) << " element " << i << " "
          << want.out[i] << " vs " << got.out[i];
    }
  }

  AttentionSetup setup_;
  Rope rope_;
  InlineParallel inline_;
};

TEST_P(AttentionTest, AgreesWithF64) {
  PagedCache cache(setup_.geometry, kLength / setup_.geometry.block_tokens + 5, 3);
  std::mt19937 rng(7);
  Sequence sequence = MakeSequence(setup_, kLength, &rng, &cache);
  RunStep(VecOpsFor(DetectIsa()), &inline_, setup_, rope_, 1, &cache, {&sequence}, {kLength});
  const size_t width = size_t{1} * setup_.spec.num_heads * setup_.spec.head_dim;
  double worst = 0;
  for (const int row : {0, 1, 15, 16, 100, 127, 128, 129, 255, 256, 299}) {
    const std::vector<double> want = NaiveAttention(setup_, 1, cache, sequence, row);
    for (size_t i = 0; i < width; ++i) worst = std::max(worst, std::fabs(want[i] - sequence.out[row * width + i]));
  }
  // Values reach 6 and scores 30 here: 8e-6 is 1.3e-6 of the largest value. A softcap costs a little more.
  EXPECT_LT(worst, setup_.spec.softcap > 0 ? 1.2e-5 : 8e-6);
}

TEST_P(AttentionTest, EveryIsaHasTheSameBits) {
  constexpr int kShort = 200;  // two chunks: the scalar kernels are slow, most of all under sanitizers
  const Sequence want = RunAlone(ScalarVecOps(), &inline_, {kShort}, 1, kShort);
  for (const NamedOps& named : AllOps()) {
    if (named.ops != &ScalarVecOps() && named.ops != &EmulatedAvx512VecOps()) {
      ExpectSameBits(want, RunAlone(*named.ops, &inline_, {kShort}, 2, kShort), named.name + " at once");
    }
    // Tile and decode paths, starts and ends inside tiles and chunks.
    const std::vector<int> steps{120, 1, 1, 1, 17, 2, 40, 1, 1, 5, 1, 10};
    ExpectSameBits(want, RunAlone(*named.ops, &inline_, steps, 3, kShort), named.name + " in steps");
  }
}

// What follows is about the division of work, which all ISAs share: the best one of this CPU stands for them.
TEST_P(AttentionTest, StepsAndBlockOrderDoNotMatter) {
  const VecOps& ops = VecOpsFor(DetectIsa());
  const Sequence want = RunAlone(ops, &inline_, {kLength}, 1, kLength);
  ExpectSameBits(want, RunAlone(ops, &inline_, {1}, 2, kLength), "token by token");
  ExpectSameBits(want, RunAlone(ops, &inline_, {7}, 3, kLength), "by sevens");
  std::mt19937 rng(11);
  for (int trial = 0; trial < 10; ++trial) {
    std::vector<int> steps(64);
    for (int& s : steps) s = 1 + static_cast<int>(rng() % (trial % 2 == 0 ? 90 : 9));
    ExpectSameBits(want, RunAlone(ops, &inline_, steps, rng(), kLength), "random steps");
  }
}

TEST_P(AttentionTest, WorkersDoNotMatter) {
  const VecOps& ops = VecOpsFor(DetectIsa());
  const Sequence want = RunAlone(ops, &inline_, {kLength}, 1, kLength);
  for (const int workers : {2, 3, 7}) {
    ComputePool::Options options;
    options.num_threads = workers;
    options.pin_threads = false;
    ComputePool pool(options);
    const ComputePool::ClientId client = pool.Register("test");
    ComputePool::Lease lease = pool.Acquire(client);
    ExpectSameBits(want, RunAlone(ops, &lease, {kLength}, 2, kLength), fmt::format("{} workers at once", workers));
    ExpectSameBits(want, RunAlone(ops, &lease, {250, 1}, 3, kLength), fmt::format("{} workers decode", workers));
  }
}

TEST_P(AttentionTest, CompanyDoesNotMatter) {
  std::mt19937 rng(21);
  ComputePool::Options options;
  options.num_threads = 2;
  options.pin_threads = false;
  ComputePool pool(options);
  ComputePool::Lease lease = pool.Acquire(pool.Register("test"));
  const VecOps& ops = VecOpsFor(DetectIsa());
  const Sequence want = RunAlone(ops, &inline_, {kLength}, 1, kLength);
  for (int trial = 0; trial < 4; ++trial) {
    PagedCache cache(setup_.geometry, 5 * (kLength / setup_.geometry.block_tokens + 2), rng());
    std::mt19937 same(7), other(rng());
    Sequence ours = MakeSequence(setup_, kLength, &same, &cache);
    std::vector<Sequence> mates;
    for (const int length : {1, 40, 200, kLength}) mates.push_back(MakeSequence(setup_, length, &other, &cache));
    while (ours.done < kLength) {
      std::vector<Sequence*> sequences;
      std::vector<int> counts;
      for (Sequence& mate : mates) {
        sequences.push_back(&mate);
        counts.push_back(std::min<int>(rng() % 30, mate.length - mate.done));
      }
      const size_t at = rng() % (sequences.size() + 1);
      sequences.insert(sequences.begin() + at, &ours);
      counts.insert(counts.begin() + at, std::min<int>(1 + rng() % 60, kLength - ours.done));
      RunStep(ops, &lease, setup_, rope_, 1, &cache, sequences, counts);
    }
    ExpectSameBits(want, ours, "in company");
  }
}

INSTANTIATE_TEST_SUITE_P(Grid, AttentionTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return fmt::format("{}_{}", info.index, Describe(info.param)); });

}  // namespace
}  // namespace bitrate::ops_test
