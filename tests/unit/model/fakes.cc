#include "tests/unit/model/fakes.h"

#include <algorithm>

namespace bitrate {
namespace {

// 16 bits a weight, whatever was asked for.
class FakeOp final : public LinearOp {
 public:
  FakeOp(int64_t n, int64_t k) : n_(n), k_(k) {}
  int64_t n() const override { return n_; }
  int64_t k() const override { return k_; }
  void Run(ExecContext&, const float*, int64_t, int64_t, float*, int64_t) const override {}
  void GatherRows(ExecContext&, std::span<const int32_t>, float*) const override {}
  LinearInfo info() const override {
    LinearInfo info;
    info.weight_bits = 16;
    info.bytes = static_cast<uint64_t>(n_ * k_ * 2);
    return info;
  }

 private:
  int64_t n_, k_;
};

class FakeLowRank final : public LowRankOp {
 public:
  FakeLowRank(int64_t n, int64_t k) : n_(n), k_(k) {}
  int64_t k() const override { return k_; }
  int64_t n() const override { return n_; }
  uint64_t bytes() const override { return 0; }

 private:
  int64_t n_, k_;
};

}  // namespace

FakeCheckpoint FakeCheckpoint::TinyLlama(bool tied) {
  FakeCheckpoint c;
  c.config_json = nlohmann::json::parse(R"({"model_type": "llama", "vocab_size": 10, "hidden_size": 8,
    "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "hidden_act": "silu"})");
  c.config_json["tie_word_embeddings"] = tied;
  c.Add("model.embed_tokens.weight", {10, 8}, 1);
  if (!tied) c.Add("lm_head.weight", {10, 8}, 2);
  c.Add("model.norm.weight", {8});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    c.Add(layer + "input_layernorm.weight", {8});
    c.Add(layer + "post_attention_layernorm.weight", {8});
    c.Add(layer + "self_attn.q_proj.weight", {8, 8});
    c.Add(layer + "self_attn.k_proj.weight", {4, 8});
    c.Add(layer + "self_attn.v_proj.weight", {4, 8});
    c.Add(layer + "self_attn.o_proj.weight", {8, 8});
    c.Add(layer + "mlp.gate_proj.weight", {12, 8});
    c.Add(layer + "mlp.up_proj.weight", {12, 8});
    c.Add(layer + "mlp.down_proj.weight", {8, 12});
  }
  return c;
}

void FakeCheckpoint::Add(const std::string& name, std::vector<int64_t> shape, float value) {
  Remove(name);
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  TensorInfo info;
  info.name = info.canonical_name = name;
  info.format = QuantFormatId::kF32;
  info.shape = std::move(shape);
  info.bytes = static_cast<uint64_t>(count) * 4;
  info.type_name = "F32";
  infos_.push_back(std::move(info));
  data_[name].assign(static_cast<size_t>(count), value);
}

void FakeCheckpoint::Remove(const std::string& name) {
  std::erase_if(infos_, [&](const TensorInfo& info) { return info.name == name; });
  data_.erase(name);
}

const TensorInfo* FakeCheckpoint::Find(std::string_view name) const {
  const auto it = std::find_if(infos_.begin(), infos_.end(), [&](const TensorInfo& info) { return info.name == name; });
  return it == infos_.end() ? nullptr : &*it;
}

StatusOr<WeightMatrix> FakeCheckpoint::Matrix(std::string_view name) const {
  const TensorInfo* info = Find(name);
  if (info == nullptr) return NotFound("tensor {}: not in the checkpoint", name);
  WeightMatrix matrix;
  matrix.name = std::string(name);
  matrix.n = info->shape[0];
  matrix.k = info->shape.back();
  matrix.data = std::as_bytes(std::span<const float>(data_.at(matrix.name)));
  return matrix;
}

StatusOr<std::vector<float>> FakeCheckpoint::Vector(std::string_view name) const {
  if (Find(name) == nullptr) return NotFound("tensor {}: not in the checkpoint", name);
  return data_.at(std::string(name));
}

StatusOr<std::vector<float>> FakeCheckpoint::Decode(std::string_view name, std::vector<int64_t>* shape) const {
  if (const TensorInfo* info = Find(name); info != nullptr) *shape = info->shape;
  return Vector(name);
}

StatusOr<std::shared_ptr<const LinearOp>> FakeBackend::PrepareLinear(const LinearSpec& spec, ExecContext&) const {
  Prepared p;
  p.name = spec.parts.front().name;
  p.k = spec.parts.front().k;
  for (const WeightMatrix& part : spec.parts) p.n += part.n;
  p.bias = spec.bias.size();
  p.is_head = spec.is_head;
  prepared.push_back(p);
  return std::make_shared<const FakeOp>(p.n, p.k);
}

std::shared_ptr<const LowRankOp> FakeBackend::PrepareLowRank(std::span<const LowRankPart> parts, int64_t k) const {
  std::vector<int64_t>& columns = low_rank_columns.emplace_back();
  int64_t n = 0;
  for (const LowRankPart& part : parts) {
    columns.push_back(part.column);
    n = std::max(n, part.column + part.n);
  }
  return std::make_shared<const FakeLowRank>(n, k);
}

std::string FakeBackend::PreparedKey(const LinearSpec& spec) const {
  // Addresses, as the CPU backend has: the weight store must not depend on them.
  std::string key = spec.precision.Name();
  for (const WeightMatrix& part : spec.parts) key += fmt::format("@{}", static_cast<const void*>(part.data.data()));
  return key;
}

}  // namespace bitrate
