// What RopeAndStoreKv leaves in qkv and in the cache, and the backend's sharing of rows among workers.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/rope.h"
#include "engine/base/compute_pool.h"
#include "engine/base/half.h"
#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {
namespace {

float Rounded(DType dtype, float x) {
  return dtype == DType::kF32 ? x : dtype == DType::kBF16 ? ToFloat(ToBf16(x)) : ToFloat(ToFp16(x));
}

class KvStoreTest : public testing::TestWithParam<DType> {};

TEST_P(KvStoreTest, KeysAndValuesAreRoundedIntoTheirSlots) {
  AttentionSetup setup = MakeSetup(GetParam(), 6, 2, 40, 16);
  setup.rotary_dim = 24;
  constexpr int kLength = 21;
  const Rope rope = MakeRope(kLength, setup.rotary_dim);
  for (const NamedOps& named : AllOps()) {
    PagedCache cache(setup.geometry, 4, 9);
    std::mt19937 rng(3);
    Sequence sequence = MakeSequence(setup, kLength, &rng, &cache);
    InlineParallel parallel;
    RunStep(*named.ops, &parallel, setup, rope, 1, &cache, {&sequence}, {5});
    RunStep(*named.ops, &parallel, setup, rope, 1, &cache, {&sequence}, {kLength - 5});
    const int heads = 6 + 2 * 2, head_dim = 40, half = 12;
    for (int t = 0; t < kLength; ++t) {
      const float* before = sequence.qkv.data() + t * heads * head_dim;
      const float* after = sequence.rotated.data() + t * heads * head_dim;
      for (int h = 0; h < heads; ++h) {
        for (int d = 0; d < head_dim; ++d) {
          const float x = before[h * head_dim + d], y = after[h * head_dim + d];
          if (h >= 8 || d >= setup.rotary_dim) {
            ASSERT_EQ(x, y) << named.name << " head " << h << " dim " << d;  // values, and dims past the rotary ones
            continue;
          }
          const int pair = d % half;
          const double angle = t * std::pow(10000.0, -2.0 * pair / setup.rotary_dim);
          const double other = before[h * head_dim + (d < half ? d + half : d - half)];
          const double want = x * std::cos(angle) + (d < half ? -other : other) * std::sin(angle);
          ASSERT_NEAR(y, want, 2e-6) << named.name;
        }
      }
      for (int h = 0; h < 2; ++h) {
        for (int d = 0; d < head_dim; ++d) {
          const float k = cache.At(sequence.blocks[t / 16], 1, h, t % 16, d, false);
          const float v = cache.At(sequence.blocks[t / 16], 1, h, t % 16, d, true);
          ASSERT_EQ(k, Rounded(GetParam(), after[(6 + h) * head_dim + d])) << named.name;
          ASSERT_EQ(v, Rounded(GetParam(), after[(8 + h) * head_dim + d])) << named.name;
        }
      }
    }
    // Nothing else was touched: free slots and the other layer are still NaN.
    for (int slot = 0; slot < 16; ++slot) {
      for (int d = 0; d < head_dim; ++d) {
        ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[0], 0, 1, slot, d, false)));
        ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[0], 0, 1, slot, d, true)));
        if (slot < kLength - 16) continue;
        ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[1], 1, 0, slot, d, false)));
        ASSERT_TRUE(std::isnan(cache.At(sequence.blocks[1], 1, 1, slot, d, true)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, KvStoreTest, testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

// Large enough that rows are shared; the reference is the row operator itself, row by row.
// A row of the table other than the position turns q and k; the position alone says where they are stored.
TEST(RopeRows, TurnByTheRowThatIsNamed) {
  const AttentionSetup setup = MakeSetup(DType::kF32, 4, 2, 16, 16);
  const Rope rope = MakeRope(12, 16);
  constexpr int kRows = 5, kWidth = (4 + 2 * 2) * 16;
  std::mt19937 rng(4);
  const std::vector<float> before = Normal(&rng, kRows * kWidth);
  const std::vector<int32_t> starts{0, kRows}, positions{0, 1, 2, 3, 4}, rows{7, 8, 2, 3, 11}, table{0};
  for (const NamedOps& named : AllOps()) {
    PagedCache cache(setup.geometry, 1, 9);
    std::vector<float> qkv = before;
    InlineParallel parallel;
    ScratchArena scratch;
    ExecContext context{&parallel, &scratch};
    const KvBatch batch{cache.base(), &cache.geometry(), starts, positions, table, 1, rows};
    CpuRopeAndStoreKv(*named.ops, context, setup.spec, rope.table(), 0, batch, qkv.data());
    for (int r = 0; r < kRows; ++r) {
      for (int d = 0; d < 8; ++d) {
        const float *x = before.data() + r * kWidth + 4 * 16, *y = qkv.data() + r * kWidth + 4 * 16;  // the first key
        const double angle = rows[static_cast<size_t>(r)] * std::pow(10000.0, -2.0 * d / 16);
        ASSERT_NEAR(y[d], x[d] * std::cos(angle) - x[d + 8] * std::sin(angle), 2e-6) << named.name << " row " << r;
        ASSERT_EQ(cache.At(0, 0, 0, r, d, false), y[d]) << named.name << " row " << r;
      }
    }
  }
}

TEST(CpuBackendRows, SharingRowsChangesNothing) {
  const CpuBackend backend(DetectIsa(), false);
  EXPECT_EQ(backend.name(), "cpu");
  EXPECT_EQ(backend.isa(), IsaName(DetectIsa()));
  EXPECT_EQ(CpuBackend(DetectIsa(), true).isa(), "scalar");
  const VecOps& scalar = ScalarVecOps();
  std::mt19937 rng(8);
  for (const int workers : {1, 2, 5}) {
    ComputePool::Options options;
    options.num_threads = workers;
    options.pin_threads = false;
    ComputePool pool(options);
    ComputePool::Lease lease = pool.Acquire(pool.Register("test"));
    ScratchArena scratch;
    ExecContext context{&lease, &scratch};
    for (const int64_t m : {1, 3, 37}) {
      const int64_t width = 600, inter = 1100;
      const std::vector<float> x = Normal(&rng, m * width), delta = Normal(&rng, m * width);
      const std::vector<float> weight = Normal(&rng, width), gate_up = Normal(&rng, m * 2 * inter);
      std::vector<float> norm(m * width), sum = x, sum_norm(m * width), added = x, act(m * inter);
      backend.RmsNorm(context, x.data(), weight.data(), 1e-6f, m, width, norm.data());
      backend.AddRmsNorm(context, sum.data(), delta.data(), weight.data(), 1e-6f, m, width, sum_norm.data());
      backend.Add(context, added.data(), delta.data(), m * width);
      backend.GatedActivation(context, Activation::kSilu, gate_up.data(), m, inter, act.data());
      for (int64_t r = 0; r < m; ++r) {
        std::vector<float> want(width), want_sum(x.begin() + r * width, x.begin() + (r + 1) * width), want_norm(width);
        std::vector<float> want_act(inter);
        scalar.rms_norm(x.data() + r * width, weight.data(), 1e-6f, width, want.data());
        scalar.add_rms_norm(want_sum.data(), delta.data() + r * width, weight.data(), 1e-6f, width, want_norm.data());
        scalar.silu_mul(gate_up.data() + r * 2 * inter, gate_up.data() + r * 2 * inter + inter, inter, want_act.data());
        for (int64_t i = 0; i < width; ++i) {
          ASSERT_EQ(norm[r * width + i], want[i]);
          ASSERT_EQ(sum[r * width + i], want_sum[i]);
          ASSERT_EQ(added[r * width + i], want_sum[i]);
          ASSERT_EQ(sum_norm[r * width + i], want_norm[i]);
        }
        for (int64_t i = 0; i < inter; ++i) ASSERT_EQ(act[r * inter + i], want_act[i]);
      }
    }
  }
}

TEST(MakeCpuBackendTest, FollowsTheIsaOverride) {
  const char* saved = std::getenv("BITRATE_ISA");
  const std::string before = saved == nullptr ? "" : saved;
  setenv("BITRATE_ISA", "scalar", 1);
  const auto scalar = MakeCpuBackend();
  ASSERT_TRUE(scalar.ok());
  EXPECT_EQ((*scalar)->isa(), "scalar");
  setenv("BITRATE_ISA", "mmx", 1);
  EXPECT_EQ(MakeCpuBackend().status().code(), StatusCode::kInvalidArgument);
  setenv("BITRATE_ISA", before.c_str(), 1);
}

}  // namespace
}  // namespace bitrate::ops_test
