#include "engine/model/decoder_model.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "engine/base/check.h"
#include "engine/model/adapter.h"
#include "engine/model/decoder_impl.h"

namespace bitrate {
namespace {

int64_t QkvWidth(const ModelConfig& c) { return (c.num_heads + 2 * c.num_kv_heads) * c.head_dim; }

int64_t WidestMlp(const ModelConfig& c) { return std::max(c.intermediate_size, c.expert_size); }

// Floats of a StepWorkspace for one row, all arrays together.
uint64_t WorkspaceFloatsPerRow(const ModelConfig& c) {
  const int64_t experts = c.num_experts + c.experts_per_token * (c.hidden_size + 4);
  constexpr int64_t kAdapters =
      (sizeof(int32_t) + sizeof(StepWorkspace::AdapterRows) + sizeof(LowRankRows)) / sizeof(float);
  return static_cast<uint64_t>(kAdapters + 4 * c.hidden_size + QkvWidth(c) + c.num_heads * c.head_dim +
                               3 * WidestMlp(c) + experts);
}

}  // namespace

uint64_t StepWorkspace::bytes() const {
  return x.bytes() + normed.bytes() + qkv.bytes() + attn.bytes() + delta.bytes() + gate_up.bytes() + act.bytes() +
         gathered.bytes() + router.bytes() + expert_out.bytes() + expert_weights.bytes() +
         adapter_rows.capacity() * sizeof(int32_t) + adapter_groups.capacity() * sizeof(AdapterRows) +
         low_rank.capacity() * sizeof(LowRankRows) +
         (expert_ids.size() + slots.size() + expert_rows.size() + expert_ends.size() + rope_rows.size()) *
             sizeof(int32_t) +
         scratch.bytes();
}

DecoderModel::DecoderModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DecoderModel::~DecoderModel() = default;

const ModelConfig& DecoderModel::config() const { return impl_->config; }
const Precision& DecoderModel::precision() const { return impl_->precision; }
int64_t DecoderModel::max_context() const { return impl_->max_context; }
int64_t DecoderModel::rope_switch() const { return impl_->rope.long_row(); }
KvGeometry DecoderModel::MakeKvGeometry() const { return impl_->kv; }
uint64_t DecoderModel::weight_bytes() const { return impl_->weight_bytes; }
uint64_t DecoderModel::unique_weight_bytes() const { return impl_->unique_weight_bytes; }
uint64_t DecoderModel::mapped_weight_bytes() const { return impl_->mapped_weight_bytes; }
double DecoderModel::weight_bits() const { return impl_->weight_bits; }
LinearInfo DecoderModel::linear_info() const { return impl_->layers.front().qkv->info(); }
LinearInfo DecoderModel::head_info() const { return impl_->head->info(); }

std::vector<PackedPlane> DecoderModel::PackedPlanes() const {
  std::vector<PackedPlane> planes;
  const auto append = [&planes](const LinearPtr& op) {
    if (op == nullptr) return;
    for (const PackedPlane& plane : op->PackedPlanes()) planes.push_back(plane);
  };
  for (const DecoderLayer& layer : impl_->layers) {
    for (const LinearPtr* op : {&layer.qkv, &layer.o, &layer.router, &layer.gate_up, &layer.down}) append(*op);
  }
  append(impl_->head);
  return planes;
}

uint64_t DecoderModel::WorkspaceBytes(const ModelConfig& config, int64_t max_rows) {
  // Operators need scratch beside the arrays: at most a copy of their widest input and a tile of their widest output.
  const uint64_t floats = WorkspaceFloatsPerRow(config);
  return static_cast<uint64_t>(max_rows) * (floats + floats / 2) * sizeof(float);
}

StepWorkspace DecoderModel::MakeWorkspace(int64_t max_rows) const {
  const ModelConfig& c = impl_->config;
  const auto floats = [max_rows](int64_t width) {
    return AlignedBuffer<float>(static_cast<size_t>(max_rows) * static_cast<size_t>(width));
  };
  StepWorkspace w;
  w.max_rows = max_rows;
  w.x = floats(c.hidden_size);
  w.normed = floats(c.hidden_size);
  w.qkv = floats(QkvWidth(c));
  w.attn = floats(c.num_heads * c.head_dim);
  w.delta = floats(c.hidden_size);
  w.gate_up = floats(2 * WidestMlp(c));
  w.act = floats(WidestMlp(c));
  w.gathered = floats(c.hidden_size);
  w.adapter_rows.reserve(static_cast<size_t>(max_rows));
  w.adapter_groups.reserve(static_cast<size_t>(max_rows));
  w.low_rank.reserve(static_cast<size_t>(max_rows));
  if (rope_switch() > 0) w.rope_rows.resize(static_cast<size_t>(max_rows));
  if (c.num_experts == 0) return w;
  w.router = floats(c.num_experts);
  w.expert_out = floats(c.experts_per_token * c.hidden_size);
  w.expert_weights = floats(c.experts_per_token);
  w.expert_ids.resize(static_cast<size_t>(max_rows * c.experts_per_token));
  w.slots.resize(w.expert_ids.size());
  w.expert_rows.resize(w.expert_ids.size());
  w.expert_ends.resize(static_cast<size_t>(c.num_experts));
  return w;
}

namespace {

// Which row of the rotary tables turns each row of the step; empty where that is its position. `out` has room.
std::span<const int32_t> RopeRows(int64_t long_row, const StepInput& input, std::vector<int32_t>& out) {
  if (long_row == 0) return {};
  for (int b = 0; b < input.num_sequences(); ++b) {
    const auto begin = static_cast<size_t>(input.query_start[static_cast<size_t>(b)]);
    const auto end = static_cast<size_t>(input.query_start[static_cast<size_t>(b) + 1]);
    if (begin == end) continue;
    const int64_t reached = input.positions[end - 1] + 1;
    const int64_t length = input.lengths.empty() ? reached : input.lengths[static_cast<size_t>(b)];
    BITRATE_CHECK(length >= reached);
    const auto offset = static_cast<int32_t>(length > long_row ? long_row : 0);
    for (size_t r = begin; r < end; ++r) out[r] = input.positions[r] + offset;
  }
  return std::span<const int32_t>(out).first(static_cast<size_t>(input.num_rows()));
}

// One forward pass over the layers. Every step is a whole operator over all rows.
class ForwardPass {
 public:
  ForwardPass(const DecoderModel::Impl& model, Parallel& parallel, const StepInput& input, std::byte* kv_base,
              StepWorkspace& workspace)
      : m_(model),
        c_(model.config),
        backend_(*model.backend),
        input_(input),
        batch_{kv_base,
               &model.kv,
               input.query_start,
               input.positions,
               input.block_tables,
               input.max_blocks,
               RopeRows(model.rope.long_row(), input, workspace.rope_rows)},
        w_(workspace),
        context_{&parallel, &workspace.scratch} {}

  void Run() {
    GroupByAdapter();
    m_.embedding->GatherRows(context_, input_.token_ids, w_.x.data());
    ScaleBy(c_.embedding_scale, w_.x.data());
    if (c_.pre_norms) {
      backend_.RmsNorm(context_, w_.x.data(), m_.layers.front().input_norm.data(), Eps(), rows_, hidden_,
                       w_.normed.data());
    }
    const size_t wanted = input_.num_layers > 0 ? static_cast<size_t>(input_.num_layers) : m_.layers.size();
    for (size_t i = 0; i < std::min(wanted, m_.layers.size()); ++i) {
      const DecoderLayer& layer = m_.layers[i];
      Attend(layer, static_cast<int>(i));
      JoinResidual(layer.attention_post_norm, layer.mlp_norm);
      if (layer.has_experts) {
        Experts(layer);
      } else {
        DenseMlp(layer, i);
      }
      JoinResidual(layer.mlp_post_norm, i + 1 < m_.layers.size() ? m_.layers[i + 1].input_norm : m_.final_norm);
    }
  }

 private:
  float Eps() const { return static_cast<float>(c_.rms_norm_eps); }
  // What attention and MLP read.
  const float* Input() const { return c_.pre_norms ? w_.normed.data() : w_.x.data(); }

  void ScaleBy(double factor, float* x) {
    if (factor != 1.0) backend_.Scale(context_, x, static_cast<float>(factor), rows_ * hidden_);
  }

  void NormHeads(const std::vector<float>& weight, float* x, int64_t heads) {
    if (weight.empty()) return;
    const auto width = static_cast<int64_t>(weight.size());
    backend_.RmsNormSlices(context_, x, qkv_width_, weight.data(), Eps(), rows_, heads * c_.head_dim / width, width);
  }

  void Attend(const DecoderLayer& layer, int index) {
    const RopeTable rope = (layer.local_rope ? m_.local_rope : m_.rope).view();
    const int64_t attention_width = c_.num_heads * c_.head_dim;
    layer.qkv->Run(context_, Input(), hidden_, rows_, w_.qkv.data(), qkv_width_);
    Adapt(static_cast<size_t>(index), &AdapterLayer::qkv, Input(), hidden_, w_.qkv.data(), qkv_width_);
    NormHeads(layer.q_norm, w_.qkv.data(), c_.num_heads);
    NormHeads(layer.k_norm, w_.qkv.data() + attention_width, c_.num_kv_heads);
    backend_.RopeAndStoreKv(context_, layer.attention, rope, index, batch_, w_.qkv.data());
    backend_.Attention(context_, layer.attention, index, batch_, w_.qkv.data(), w_.attn.data());
    layer.o->Run(context_, w_.attn.data(), attention_width, rows_, w_.delta.data(), hidden_);
    Adapt(static_cast<size_t>(index), &AdapterLayer::o, w_.attn.data(), attention_width, w_.delta.data(), hidden_);
  }

  // Once a step: the rows of each adapter, whatever sequences they belong to.
  void GroupByAdapter() {
    w_.adapter_rows.clear();
    w_.adapter_groups.clear();
    const std::vector<const Adapter*>& adapters = input_.adapters;
    for (size_t b = 0; b < adapters.size(); ++b) {
      const auto known = [&](const StepWorkspace::AdapterRows& group) { return group.adapter == adapters[b]; };
      if (adapters[b] == nullptr || std::any_of(w_.adapter_groups.begin(), w_.adapter_groups.end(), known)) continue;
      BITRATE_CHECK(adapters[b]->layers().size() == m_.layers.size());
      const auto begin = static_cast<int32_t>(w_.adapter_rows.size());
      for (size_t other = b; other < adapters.size(); ++other) {
        if (adapters[other] != adapters[b]) continue;
        for (int32_t r = input_.query_start[other]; r < input_.query_start[other + 1]; ++r) {
          w_.adapter_rows.push_back(r);
        }
      }
      w_.adapter_groups.push_back({adapters[b], begin, static_cast<int32_t>(w_.adapter_rows.size())});
    }
  }

  // Adds what the adapters of the rows add to y = W x at one place of a layer.
  void Adapt(size_t layer, LowRankPtr AdapterLayer::*place, const float* x, int64_t ldx, float* y, int64_t ldy) {
    w_.low_rank.clear();
    for (const StepWorkspace::AdapterRows& group : w_.adapter_groups) {
      const LowRankOp* op = (group.adapter->layers()[layer].*place).get();
      if (op == nullptr) continue;
      w_.low_rank.push_back(
          {op, std::span(w_.adapter_rows)
                   .subspan(static_cast<size_t>(group.begin), static_cast<size_t>(group.end - group.begin))});
    }
    if (!w_.low_rank.empty()) backend_.AddLowRank(context_, w_.low_rank, x, ldx, y, ldy);
  }

  // delta [rows, hidden] = down(act(gate(x)) * up(x)), all of them with the rows' adapters.
  void DenseMlp(const DecoderLayer& layer, size_t index) {
    const int64_t inter = layer.down->k();
    layer.gate_up->Run(context_, Input(), hidden_, rows_, w_.gate_up.data(), 2 * inter);
    Adapt(index, &AdapterLayer::gate_up, Input(), hidden_, w_.gate_up.data(), 2 * inter);
    backend_.GatedActivation(context_, c_.activation, w_.gate_up.data(), rows_, inter, w_.act.data());
    layer.down->Run(context_, w_.act.data(), inter, rows_, w_.delta.data(), hidden_);
    Adapt(index, &AdapterLayer::down, w_.act.data(), inter, w_.delta.data(), hidden_);
  }

  // An expert: y [rows, hidden] = down(act(gate(x)) * up(x)).
  void Mlp(const LinearOp& gate_up, const LinearOp& down, const float* x, int64_t rows, float* y) {
    const int64_t inter = down.k();
    gate_up.Run(context_, x, hidden_, rows, w_.gate_up.data(), 2 * inter);
    backend_.GatedActivation(context_, c_.activation, w_.gate_up.data(), rows, inter, w_.act.data());
    down.Run(context_, w_.act.data(), inter, rows, y, hidden_);
  }

  // A counting sort of the choices by expert: expert_ends, slots and expert_rows.
  void GroupByExpert(int64_t choices, int64_t k) {
    std::vector<int32_t>& ends = w_.expert_ends;
    std::fill(ends.begin(), ends.end(), 0);
    for (int64_t i = 0; i < choices; ++i) ++ends[static_cast<size_t>(w_.expert_ids[static_cast<size_t>(i)])];
    std::exclusive_scan(ends.begin(), ends.end(), ends.begin(), 0);
    for (int64_t i = 0; i < choices; ++i) {
      const int32_t slot = ends[static_cast<size_t>(w_.expert_ids[static_cast<size_t>(i)])]++;
      w_.slots[static_cast<size_t>(i)] = slot;
      w_.expert_rows[static_cast<size_t>(slot)] = static_cast<int32_t>(i / k);
    }
  }

  // Rows go to their experts expert by expert, so that each reads its weights once for all of them.
  void Experts(const DecoderLayer& layer) {
    const int64_t k = c_.experts_per_token;
    layer.router->Run(context_, Input(), hidden_, rows_, w_.router.data(), c_.num_experts);
    backend_.RouteExperts(context_, w_.router.data(), rows_, c_.num_experts, k, c_.renormalize_experts,
                          w_.expert_ids.data(), w_.expert_weights.data());
    GroupByExpert(rows_ * k, k);
    int32_t first = 0;
    for (size_t e = 0; e < layer.experts.size(); ++e) {
      const int32_t begin = std::exchange(first, w_.expert_ends[e]), count = first - begin;
      if (count == 0) continue;
      const std::span<const int32_t> rows(w_.expert_rows.data() + begin, static_cast<size_t>(count));
      backend_.PickRows(context_, Input(), rows, hidden_, w_.gathered.data());
      Mlp(*layer.experts[e].gate_up, *layer.experts[e].down, w_.gathered.data(), count,
          w_.expert_out.data() + begin * hidden_);
    }
    backend_.CombineRows(context_, w_.expert_out.data(), w_.slots.data(), w_.expert_weights.data(), rows_, k, hidden_,
                         w_.delta.data());
  }

  // x += delta, perhaps normed and scaled on the way; then the norm of x that comes next, if one does.
  void JoinResidual(const std::vector<float>& post_norm, const std::vector<float>& next_norm) {
    float* delta = w_.delta.data();
    if (!post_norm.empty()) backend_.RmsNorm(context_, delta, post_norm.data(), Eps(), rows_, hidden_, delta);
    ScaleBy(c_.residual_scale, delta);
    if (next_norm.empty()) {
      backend_.Add(context_, w_.x.data(), delta, rows_ * hidden_);
    } else {
      backend_.AddRmsNorm(context_, w_.x.data(), delta, next_norm.data(), Eps(), rows_, hidden_, w_.normed.data());
    }
  }

  const DecoderModel::Impl& m_;
  const ModelConfig& c_;
  const Backend& backend_;
  const StepInput& input_;
  const KvBatch batch_;
  StepWorkspace& w_;
  ExecContext context_;
  const int64_t rows_ = input_.num_rows(), hidden_ = c_.hidden_size, qkv_width_ = QkvWidth(c_);
};

}  // namespace

void DecoderModel::Forward(Parallel& parallel, const StepInput& input, std::byte* kv_base, StepWorkspace& w) const {
  if (input.num_rows() == 0) return;
  BITRATE_CHECK(input.num_rows() <= w.max_rows);
  BITRATE_CHECK(input.positions.size() == input.token_ids.size());
  BITRATE_CHECK(input.adapters.empty() || input.adapters.size() + 1 == input.query_start.size());
  ForwardPass(*impl_, parallel, input, kv_base, w).Run();
}

void DecoderModel::Logits(Parallel& parallel, std::span<const int32_t> rows, StepWorkspace& w, float* logits) const {
  if (rows.empty()) return;
  const auto hidden = static_cast<size_t>(impl_->config.hidden_size);
  BITRATE_CHECK(static_cast<int64_t>(rows.size()) <= w.max_rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    BITRATE_CHECK(rows[i] >= 0 && rows[i] < w.max_rows);
    std::memcpy(w.gathered.data() + i * hidden, w.normed.data() + static_cast<size_t>(rows[i]) * hidden,
                hidden * sizeof(float));
  }
  ExecContext context = {&parallel, &w.scratch};
  const ModelConfig& c = impl_->config;
  const auto count = static_cast<int64_t>(rows.size());
  impl_->head->Run(context, w.gathered.data(), c.hidden_size, count, logits, c.vocab_size);
  if (c.logits_scale != 1.0) {
    impl_->backend->Scale(context, logits, static_cast<float>(c.logits_scale), count * c.vocab_size);
  }
  if (c.logits_softcap > 0) {
    impl_->backend->Softcap(context, logits, static_cast<float>(c.logits_softcap), count * c.vocab_size);
  }
}

}  // namespace bitrate
