#include "engine/model/memory_estimate.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>

#include "engine/format/codebooks.h"
#include "engine/format/reference_codec.h"
#include "engine/model/architecture.h"

namespace bitrate {
namespace {

constexpr uint64_t kPanelRows = 64;
constexpr uint64_t kAllocationSlack = 256;  // three buffers, each a whole number of cache lines
constexpr uint64_t kSourceGroup = 32;       // of Q4_0, Q4_1, Q4_K sub-blocks and Q8_0

uint64_t CeilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
uint64_t RoundUp(uint64_t a, uint64_t step) { return CeilDiv(a, step) * step; }

// What the storage of a matrix means for its packed form.
struct Source {
  bool four_bit_grid = false, eight_bit_grid = false;
  double kept_bits = 0;     // of a weight whose 4-bit grid is kept, scales included
  double native_bits = 32;  // of a weight kept in its own format, at most
  bool table = false;       // codes into a codebook of 16
};

// Coded rows packed as they are, or kept: the scales of either take at most f32, zeros a byte each.
Source DescribeCoded(const CodedLayout& coded, int64_t k) {
  Source source;
  source.four_bit_grid = FitsInt4(coded, k);
  const auto group = static_cast<double>(source.four_bit_grid ? Int4GroupSize(coded, k) : coded.group_size);
  source.native_bits = coded.code_bits + (coded.zero_per_group ? 40 : 32) / std::min(group, static_cast<double>(k));
  source.kept_bits = source.native_bits;
  source.table = coded.code_bits == 4 && coded.is_table();
  return source;
}

Source Describe(const TensorInfo& info) {
  if (info.coded != nullptr) return DescribeCoded(*info.coded, info.shape[1]);
  Source source;
  source.four_bit_grid = IsFourBitGrid(info.format);
  source.eight_bit_grid = IsEightBitGrid(info.format);
  const QuantFormat& format = GetQuantFormat(info.format);
  // Blocks of one group move as they are. Super-blocks hold products of scales, which take f32 planes of scale and
  // minimum.
  const bool super_block = format.block_elements > static_cast<int>(kSourceGroup);
  source.kept_bits = super_block ? 4 + 64.0 / kSourceGroup : format.bits_per_weight;
  source.native_bits = source.four_bit_grid ? source.kept_bits : format.bits_per_weight;
  return source;
}

// Bytes of one packed row of K weights.
uint64_t Int4RowBytes(uint64_t k, const Precision& precision, const Source& source) {
  if (precision.keep_source_grid && source.four_bit_grid) {
    return static_cast<uint64_t>(static_cast<double>(RoundUp(k, kSourceGroup)) * source.kept_bits / 8);
  }
  uint64_t group = static_cast<uint64_t>(std::max(precision.group_size, 1));
  uint64_t offset = precision.offset == Int4Offset::kZero ? 1 : precision.offset == Int4Offset::kMin ? 2 : 0;
  if (precision.keep_source_grid) {  // no grid to keep: what plain int4 means then
    group = 64;
    offset = 0;
  }
  return RoundUp(k, 32) / 2 + CeilDiv(k, group) * (2 + offset);
}

uint64_t RowBytesOf(uint64_t k, const Precision& precision, bool is_head, const Source& source) {
  switch (precision.kind) {
    case Precision::Kind::kFp32:
      return RoundUp(k, 16) * 4;
    case Precision::Kind::kBf16:
    case Precision::Kind::kFp16:
      return RoundUp(k, 32) * 2;
    case Precision::Kind::kInt4:
      if (!is_head) return Int4RowBytes(k, precision, source);
      break;
    case Precision::Kind::kNf4:
      if (is_head) return RoundUp(k, 32) * 2;
      if (source.table) return static_cast<uint64_t>(static_cast<double>(RoundUp(k, 32)) * source.native_bits / 8) + 4;
      return RoundUp(k, 32) / 2 + (CeilDiv(k, kNf4Block) + 1) * sizeof(float);  // and the panel's table
    case Precision::Kind::kNative:
      return static_cast<uint64_t>(static_cast<double>(RoundUp(k, 64)) * source.native_bits / 8) + 2 * sizeof(float);
    case Precision::Kind::kInt8:
      break;
  }
  const bool keeps_grid = is_head && source.eight_bit_grid;
  return RoundUp(k, 64) + (keeps_grid ? CeilDiv(k, kSourceGroup) * 2 : sizeof(float));
}

class Estimator {
 public:
  Estimator(const Checkpoint& checkpoint, const Precision& precision) : precision_(precision) {
    for (const TensorInfo& info : checkpoint.tensors()) {
      if (info.is_weight) sources_.emplace(info.canonical_name, Describe(info));
    }
  }

  struct Part {
    std::string name;
    int64_t n;
  };
  // Stacked parts of one K. Parts that are stored differently are padded to panels apart.
  uint64_t Linear(std::initializer_list<Part> parts, int64_t k, bool is_head = false) const {
    uint64_t bytes = 0, rows = 0, row_bytes = 0;
    for (const Part& part : parts) {
      const auto it = sources_.find(part.name + ".weight");
      const Source source = it == sources_.end() ? Source() : it->second;
      const uint64_t own = RowBytesOf(static_cast<uint64_t>(k), precision_, is_head, source);
      if (own != row_bytes) {
        bytes += RoundUp(rows, kPanelRows) * row_bytes;
        rows = 0;
        row_bytes = own;
      }
      rows += static_cast<uint64_t>(part.n);
    }
    return bytes + RoundUp(rows, kPanelRows) * row_bytes + kAllocationSlack;
  }

 private:
  const Precision& precision_;
  std::map<std::string, Source> sources_;
};

uint64_t ExpertBytes(const Estimator& estimator, const ModelConfig& c, const LayerTensorNames& layer) {
  uint64_t bytes = RoundUp(static_cast<uint64_t>(c.num_experts), kPanelRows) *
                   RoundUp(static_cast<uint64_t>(c.hidden_size), 16) * sizeof(float);  // the router, f32
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const std::string prefix = layer.expert + std::to_string(e) + ".";
    bytes += estimator.Linear({{prefix + layer.expert_gate, c.expert_size}, {prefix + layer.expert_up, c.expert_size}},
                              c.hidden_size);
    bytes += estimator.Linear({{prefix + layer.expert_down, c.hidden_size}}, c.expert_size);
  }
  return bytes + kAllocationSlack;
}

}  // namespace

uint64_t EstimateWeightBytes(const Checkpoint& checkpoint, const ModelConfig& c, const Precision& precision) {
  const Architecture* architecture = FindArchitecture(c.architecture);
  if (architecture == nullptr) return 0;
  const Estimator estimator(checkpoint, precision);
  const ModelTensorNames names = architecture->model_names();
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim, inter = c.intermediate_size;
  uint64_t bytes = estimator.Linear({{names.embedding, c.vocab_size}}, c.hidden_size, true);
  if (!c.tie_word_embeddings) bytes += estimator.Linear({{names.head, c.vocab_size}}, c.hidden_size, true);
  // Norms and biases are few and f32; every bias is counted, there or not.
  const int64_t floats =
      c.hidden_size + c.num_layers * (6 * c.hidden_size + 2 * (q + 2 * kv) + 2 * c.intermediate_size);
  bytes += static_cast<uint64_t>(floats) * sizeof(float);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const LayerTensorNames layer = architecture->layer_names(i);
    bytes += c.fused_qkv ? estimator.Linear({{layer.qkv, q + 2 * kv}}, c.hidden_size)
                         : estimator.Linear({{layer.q, q}, {layer.k, kv}, {layer.v, kv}}, c.hidden_size);
    bytes += estimator.Linear({{layer.o, c.hidden_size}}, q);
    if (c.HasExperts(i)) {
      bytes += ExpertBytes(estimator, c, layer);
      continue;
    }
    bytes += c.fused_qkv ? estimator.Linear({{layer.gate_up, 2 * inter}}, c.hidden_size)
                         : estimator.Linear({{layer.gate, inter}, {layer.up, inter}}, c.hidden_size);
    bytes += estimator.Linear({{layer.down, c.hidden_size}}, inter);
  }
  return bytes;
}

}  // namespace bitrate
