#include "tests/differential/ops/ops_fixture.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/ops_rows.h"
#include "engine/backend/cpu/rope.h"
#include "engine/base/check.h"
#include "engine/base/half.h"

namespace bitrate::ops_test {

std::vector<NamedOps> AllOps() {
  std::vector<NamedOps> all;
  for (const Isa isa : RunnableIsas()) all.push_back({std::string(IsaName(isa)), &VecOpsFor(isa)});
  all.push_back({"emulated-avx512", &EmulatedAvx512VecOps()});
  return all;
}

std::vector<float> Normal(std::mt19937* rng, size_t n, float scale) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(*rng);
  return x;
}

AttentionSetup MakeSetup(DType dtype, int num_heads, int num_kv_heads, int head_dim, int block_tokens) {
  AttentionSetup setup;
  setup.spec.num_heads = num_heads;
  setup.spec.num_kv_heads = num_kv_heads;
  setup.spec.head_dim = head_dim;
  setup.spec.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  setup.geometry.dtype = dtype;
  setup.geometry.num_layers = 2;
  setup.geometry.num_kv_heads = num_kv_heads;
  setup.geometry.head_dim = head_dim;
  setup.geometry.block_tokens = block_tokens;
  setup.rotary_dim = head_dim;
  return setup;
}

Rope MakeRope(int positions, int rotary_dim) {
  Rope rope;
  rope.rotary_dim = rotary_dim;
  for (int p = 0; p < positions; ++p) {
    for (int i = 0; i < rotary_dim / 2; ++i) {
      const double angle = p * std::pow(10000.0, -2.0 * i / rotary_dim);
      rope.cos.push_back(static_cast<float>(std::cos(angle)));
      rope.sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return rope;
}

PagedCache::PagedCache(const KvGeometry& geometry, int num_blocks, uint32_t seed)
    : geometry_(geometry), bytes_(geometry.BlockBytes() * num_blocks), free_(num_blocks) {
  std::memset(bytes_.data(), 0xff, bytes_.size());
  std::iota(free_.begin(), free_.end(), 0);
  std::mt19937 rng(seed);
  std::shuffle(free_.begin(), free_.end(), rng);
}

int PagedCache::TakeBlock() {
  BITRATE_CHECK(!free_.empty());
  const int block = free_.back();
  free_.pop_back();
  return block;
}

float PagedCache::At(int block, int layer, int kv_head, int slot, int d, bool v) const {
  const std::byte* head = bytes_.data() + block * geometry_.BlockBytes() +
                          (v ? geometry_.VOffset(layer, kv_head) : geometry_.KOffset(layer, kv_head));
  if (geometry_.dtype == DType::kI8) {
    const auto* scales = reinterpret_cast<const float*>(
        bytes_.data() + block * geometry_.BlockBytes() +
        (v ? geometry_.VScaleOffset(layer, kv_head) : geometry_.KScaleOffset(layer, kv_head)));
    const int code = static_cast<int8_t>(head[v ? slot * geometry_.head_dim + d : d * geometry_.block_tokens + slot]);
    return static_cast<float>(code) * scales[slot];
  }
  const size_t index =
      v ? static_cast<size_t>(slot) * geometry_.head_dim + d : static_cast<size_t>(d) * geometry_.block_tokens + slot;
  if (geometry_.dtype == DType::kF32) return reinterpret_cast<const float*>(head)[index];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(head)[index];
  return geometry_.dtype == DType::kBF16 ? ToFloat(Bf16{bits}) : ToFloat(Fp16{bits});
}

Sequence MakeSequence(const AttentionSetup& setup, int length, std::mt19937* rng, PagedCache* cache) {
  const AttentionSpec& spec = setup.spec;
  Sequence sequence;
  sequence.length = length;
  // Scores of a few units: some keys dominate, none is alone.
  sequence.qkv = Normal(rng, size_t{1} * length * (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim, 1.6f);
  sequence.rotated = sequence.qkv;
  sequence.out.resize(size_t{1} * length * spec.num_heads * spec.head_dim);
  for (int t = 0; t < length; t += setup.geometry.block_tokens) sequence.blocks.push_back(cache->TakeBlock());
  return sequence;
}

void RunStep(const VecOps& ops, Parallel* parallel, const AttentionSetup& setup, const Rope& rope, int layer,
             PagedCache* cache, const std::vector<Sequence*>& sequences, const std::vector<int>& counts) {
  const AttentionSpec& spec = setup.spec;
  const size_t width = size_t{1} * (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim;
  const size_t out_width = size_t{1} * spec.num_heads * spec.head_dim;
  std::vector<int32_t> starts{0}, positions, tables;
  std::vector<float> qkv;
  size_t max_blocks = 1;
  for (const Sequence* sequence : sequences) max_blocks = std::max(max_blocks, sequence->blocks.size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& sequence = *sequences[i];
    for (int r = 0; r < counts[i]; ++r) positions.push_back(sequence.done + r);
    qkv.insert(qkv.end(), sequence.qkv.begin() + sequence.done * width,
               sequence.qkv.begin() + (sequence.done + counts[i]) * width);
    starts.push_back(static_cast<int32_t>(positions.size()));
    for (size_t b = 0; b < max_blocks; ++b) {
      // Entries that hold no token yet are unread: an id far outside says so if they are not.
      const bool used = static_cast<int>(b) * setup.geometry.block_tokens < sequence.done + counts[i];
      tables.push_back(used ? sequence.blocks[b] : 1 << 30);
    }
  }
  KvBatch batch;
  batch.kv_base = cache->base();
  batch.geometry = &cache->geometry();
  batch.query_start = starts;
  batch.positions = positions;
  batch.block_tables = tables;
  batch.max_blocks = static_cast<int>(max_blocks);
  ScratchArena scratch;
  ExecContext context{parallel, &scratch};
  std::vector<float> out(positions.size() * out_width);
  CpuRopeAndStoreKv(ops, context, spec, rope.table(), layer, batch, qkv.data());
  CpuAttention(ops, context, spec, layer, batch, qkv.data(), out.data());
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence* sequence = sequences[i];
    std::copy_n(qkv.begin() + starts[i] * width, counts[i] * width, sequence->rotated.begin() + sequence->done * width);
    std::copy_n(out.begin() + starts[i] * out_width, counts[i] * out_width,
                sequence->out.begin() + sequence->done * out_width);
    sequence->done += counts[i];
  }
}

std::vector<double> NaiveAttention(const AttentionSetup& setup, int layer, const PagedCache& cache,
                                   const Sequence& sequence, int row) {
  const AttentionSpec& spec = setup.spec;
  const int head_dim = spec.head_dim, block_tokens = setup.geometry.block_tokens;
  const float* q_row = sequence.rotated.data() + size_t{1} * row * (spec.num_heads + 2 * spec.num_kv_heads) * head_dim;
  const int first = spec.window > 0 ? std::max(0, row - spec.window + 1) : 0;
  std::vector<double> out(size_t{1} * spec.num_heads * head_dim);
  for (int h = 0; h < spec.num_heads; ++h) {
    const int kv_head = h / (spec.num_heads / spec.num_kv_heads);
    std::vector<double> score;
    for (int t = first; t <= row; ++t) {
      double dot = 0;
      for (int d = 0; d < head_dim; ++d) {
        dot += double{q_row[h * head_dim + d]} *
               cache.At(sequence.blocks[t / block_tokens], layer, kv_head, t % block_tokens, d, false);
      }
      dot *= spec.scale;
      score.push_back(spec.softcap > 0 ? spec.softcap * std::tanh(dot / spec.softcap) : dot);
    }
    const double max = *std::max_element(score.begin(), score.end());
    double sum = 0;
    for (double& s : score) sum += s = std::exp(s - max);
    for (int d = 0; d < head_dim; ++d) {
      double value = 0;
      for (int t = first; t <= row; ++t) {
        value += score[t - first] / sum *
                 cache.At(sequence.blocks[t / block_tokens], layer, kv_head, t % block_tokens, d, true);
      }
      out[h * head_dim + d] = value;
    }
  }
  return out;
}

}  // namespace bitrate::ops_test
