#include "engine/model/decoder_model.h"

#include <cstring>

#include "engine/base/check.h"
#include "engine/model/decoder_impl.h"

namespace bitrate {
namespace {

int64_t QkvWidth(const ModelConfig& c) { return (c.num_heads + 2 * c.num_kv_heads) * c.head_dim; }

// Floats of a StepWorkspace for one row, all arrays together.
uint64_t WorkspaceFloatsPerRow(const ModelConfig& c) {
  return static_cast<uint64_t>(4 * c.hidden_size + QkvWidth(c) + c.num_heads * c.head_dim + 3 * c.intermediate_size);
}

}  // namespace

uint64_t StepWorkspace::bytes() const {
  return x.bytes() + normed.bytes() + qkv.bytes() + attn.bytes() + delta.bytes() + gate_up.bytes() + act.bytes() +
         gathered.bytes() + scratch.bytes();
}

DecoderModel::DecoderModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DecoderModel::~DecoderModel() = default;

const ModelConfig& DecoderModel::config() const { return impl_->config; }
const Precision& DecoderModel::precision() const { return impl_->precision; }
int64_t DecoderModel::max_context() const { return impl_->max_context; }
KvGeometry DecoderModel::MakeKvGeometry() const { return impl_->kv; }
uint64_t DecoderModel::weight_bytes() const { return impl_->weight_bytes; }
uint64_t DecoderModel::unique_weight_bytes() const { return impl_->unique_weight_bytes; }
double DecoderModel::weight_bits() const { return impl_->weight_bits; }
LinearInfo DecoderModel::linear_info() const { return impl_->layers.front().qkv->info(); }
LinearInfo DecoderModel::head_info() const { return impl_->head->info(); }

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
  w.gate_up = floats(2 * c.intermediate_size);
  w.act = floats(c.intermediate_size);
  w.gathered = floats(c.hidden_size);
  return w;
}

void DecoderModel::Forward(Parallel& parallel, const StepInput& input, std::byte* kv_base, StepWorkspace& w) const {
  const Impl& m = *impl_;
  const int64_t rows = input.num_rows();
  if (rows == 0) return;
  BITRATE_CHECK(rows <= w.max_rows);
  BITRATE_CHECK(input.positions.size() == input.token_ids.size());
  const Backend& backend = *m.backend;
  const int64_t hidden = m.config.hidden_size, inter = m.config.intermediate_size;
  const int64_t qkv_width = QkvWidth(m.config), attn_width = m.config.num_heads * m.config.head_dim;
  const auto eps = static_cast<float>(m.config.rms_norm_eps);
  const KvBatch batch = {kv_base, &m.kv, input.query_start, input.positions, input.block_tables, input.max_blocks};
  const RopeTable rope = m.rope.view();
  ExecContext context = {&parallel, &w.scratch};

  m.embedding->GatherRows(context, input.token_ids, w.x.data());
  backend.RmsNorm(context, w.x.data(), m.layers.front().input_norm.data(), eps, rows, hidden, w.normed.data());
  for (size_t i = 0; i < m.layers.size(); ++i) {
    const DecoderLayer& layer = m.layers[i];
    const int index = static_cast<int>(i);
    layer.qkv->Run(context, w.normed.data(), hidden, rows, w.qkv.data(), qkv_width);
    backend.RopeAndStoreKv(context, m.attention, rope, index, batch, w.qkv.data());
    backend.Attention(context, m.attention, index, batch, w.qkv.data(), w.attn.data());
    layer.o->Run(context, w.attn.data(), attn_width, rows, w.delta.data(), hidden);
    backend.AddRmsNorm(context, w.x.data(), w.delta.data(), layer.post_attention_norm.data(), eps, rows, hidden,
                       w.normed.data());
    layer.gate_up->Run(context, w.normed.data(), hidden, rows, w.gate_up.data(), 2 * inter);
    backend.SiluMul(context, w.gate_up.data(), rows, inter, w.act.data());
    layer.down->Run(context, w.act.data(), inter, rows, w.delta.data(), hidden);
    const std::vector<float>& next = i + 1 < m.layers.size() ? m.layers[i + 1].input_norm : m.final_norm;
    backend.AddRmsNorm(context, w.x.data(), w.delta.data(), next.data(), eps, rows, hidden, w.normed.data());
  }
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
  impl_->head->Run(context, w.gathered.data(), impl_->config.hidden_size, static_cast<int64_t>(rows.size()), logits,
                   impl_->config.vocab_size);
}

}  // namespace bitrate
