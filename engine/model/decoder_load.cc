// DecoderModel::Load: tensors of a checkpoint, checked against the config and prepared by the backend.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "engine/model/architecture.h"
#include "engine/model/decoder_impl.h"
#include "engine/model/source_fingerprints.h"
#include "engine/model/weight_store.h"

namespace bitrate {
namespace {

struct Part {
  const std::string& name;  // without ".weight"
  int64_t n;
};

// int8 and int4 variants hold their heads alike (LinearSpec::is_head), so both ask for it by one name and share it.
Precision HeadPrecision(const Precision& precision) {
  if (precision.kind != Precision::Kind::kInt8 && precision.kind != Precision::Kind::kInt4) return precision;
  Precision head;
  head.kind = Precision::Kind::kInt8;
  head.activations = precision.activations == Precision::Activations::kFloat ? Precision::Activations::kFloat
                                                                             : Precision::Activations::kInt8Groups;
  return head;
}

enum class Role { kBody, kHead, kRouter };

Precision PrecisionOf(Role role, const Precision& precision) {
  switch (role) {
    case Role::kBody:
      return precision;
    case Role::kHead:
      return HeadPrecision(precision);
    case Role::kRouter:
      break;
  }
  return Precision();  // fp32
}

DType KvDType(const Precision& precision) {
  switch (precision.kind) {
    case Precision::Kind::kFp32:
      return DType::kF32;
    case Precision::Kind::kBf16:
      return DType::kBF16;
    default:
      return DType::kF16;
  }
}

AttentionSpec MakeAttentionSpec(const ModelConfig& c, int64_t layer) {
  AttentionSpec spec;
  spec.num_heads = static_cast<int>(c.num_heads);
  spec.num_kv_heads = static_cast<int>(c.num_kv_heads);
  spec.head_dim = static_cast<int>(c.head_dim);
  const double scale = c.attention_scale > 0 ? c.attention_scale : 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  spec.scale = static_cast<float>(scale);
  spec.softcap = static_cast<float>(c.attention_softcap);
  spec.window = c.IsSliding(layer) ? static_cast<int>(c.sliding_window) : 0;
  return spec;
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const Backend& backend, Parallel& parallel, WeightStore* store,
         const DecoderModel::LoadOptions& options, DecoderModel::Impl& out);

  Status Load();

 private:
  StatusOr<std::vector<float>> LoadVector(const std::string& name, int64_t size);
  StatusOr<std::vector<float>> LoadNorm(const std::string& name, int64_t size);
  StatusOr<LinearPtr> LoadLinear(std::initializer_list<Part> names, int64_t k, bool has_bias, Role role = Role::kBody);
  StatusOr<WeightMatrix> Describe(const std::string& name) const;
  StatusOr<LinearPtr> Prepare(LinearSpec spec, std::vector<WeightMatrix>& parts);
  Status LoadLayer(const LayerTensorNames& names, DecoderLayer& layer);
  Status LoadNorms(const LayerTensorNames& names, DecoderLayer& layer);
  Status LoadMlp(const LayerTensorNames& names, DecoderLayer& layer);
  Status LoadExperts(const LayerTensorNames& names, DecoderLayer& layer);
  Status LoadHead(const ModelTensorNames& names);
  bool IsZeroBias(const TensorInfo& info) const;
  Status RefuseUnusedTensors(const ModelTensorNames& names) const;
  void Account(const LinearOp& op, bool shared);
  void Report();

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  WeightStore* store_;
  const DecoderModel::LoadOptions& options_;
  DecoderModel::Impl& out_;
  const ModelConfig& config_;
  const std::string digest_;
  ScratchArena scratch_;
  ExecContext context_;
  std::set<std::string, std::less<>> used_;
  std::map<std::string_view, const TensorInfo*> infos_;  // by canonical name
  double total_bits_ = 0, total_weights_ = 0;
  int64_t done_ = 0;
};

std::string ProgressLabel(const Precision& precision) { return "prepare " + precision.Name(); }

Loader::Loader(const Checkpoint& checkpoint, const Backend& backend, Parallel& parallel, WeightStore* store,
               const DecoderModel::LoadOptions& options, DecoderModel::Impl& out)
    : checkpoint_(checkpoint),
      backend_(backend),
      store_(store),
      options_(options),
      out_(out),
      config_(out.config),
      digest_(checkpoint.digest()),
      context_{&parallel, &scratch_} {
  for (const TensorInfo& info : checkpoint.tensors()) infos_.emplace(info.canonical_name, &info);
}

void Loader::Report() {
  int64_t total = config_.tie_word_embeddings ? 1 : 2;
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    total += config_.HasExperts(i) ? 3 + 2 * config_.num_experts : 4;
  }
  ++done_;
  if (options_.progress) options_.progress(ProgressLabel(options_.precision), done_, total);
}

void Loader::Account(const LinearOp& op, bool shared) {
  const LinearInfo info = op.info();
  const double weights = static_cast<double>(op.n()) * static_cast<double>(op.k());
  total_bits_ += info.weight_bits * weights;
  total_weights_ += weights;
  out_.weight_bytes += info.bytes;
  if (shared) return;
  out_.unique_weight_bytes += info.bytes;
  out_.mapped_weight_bytes += info.mapped_bytes;
}

StatusOr<std::vector<float>> Loader::LoadVector(const std::string& name, int64_t size) {
  ASSIGN_OR_RETURN(std::vector<float> values, checkpoint_.Vector(name));
  if (static_cast<int64_t>(values.size()) != size) {
    return InvalidArgument("tensor {}: got shape [{}], wanted [{}]", name, values.size(), size);
  }
  used_.insert(name);
  out_.weight_bytes += values.size() * sizeof(float);
  out_.unique_weight_bytes += values.size() * sizeof(float);
  return values;
}

// A matrix without its bytes where they may not be needed: its fingerprint is known, so the packed form may be in the
// backend's cache.
StatusOr<WeightMatrix> Loader::Describe(const std::string& name) const {
  const auto it = infos_.find(name);
  const bool known = options_.fingerprints != nullptr && options_.fingerprints->Find(name).has_value();
  if (!known || it == infos_.end() || !it->second->is_weight || it->second->shape.size() != 2 ||
      it->second->coded != nullptr) {
    return checkpoint_.Matrix(name);
  }
  WeightMatrix matrix;
  matrix.name = name;
  matrix.format = it->second->format;
  matrix.n = it->second->shape[0];
  matrix.k = it->second->shape[1];
  return matrix;
}

// `parts` get their bytes when the backend turns out to need them.
StatusOr<LinearPtr> Loader::Prepare(LinearSpec spec, std::vector<WeightMatrix>& parts) {
  spec.parts = parts;
  const auto prepare = [&]() -> StatusOr<LinearPtr> {
    StatusOr<LinearPtr> op = backend_.PrepareLinear(spec, context_);
    if (op.ok() || op.status().code() != StatusCode::kNotFound || spec.fingerprints.empty()) return op;
    for (WeightMatrix& part : parts) {
      ASSIGN_OR_RETURN(part, checkpoint_.Matrix(part.name));
    }
    return backend_.PrepareLinear(spec, context_);
  };
  if (store_ == nullptr) {
    ASSIGN_OR_RETURN(LinearPtr op, prepare());
    Account(*op, false);
    return op;
  }
  ASSIGN_OR_RETURN(WeightStore::Entry entry, store_->GetOrPrepare(WeightKey(digest_, spec, backend_), prepare));
  Account(*entry.op, entry.shared);
  return entry.op;
}

StatusOr<LinearPtr> Loader::LoadLinear(std::initializer_list<Part> names, int64_t k, bool has_bias, Role role) {
  std::vector<WeightMatrix> parts;
  std::vector<std::string> fingerprints;
  std::vector<float> bias;
  for (const Part& part : names) {
    const std::string weight_name = part.name + ".weight";
    ASSIGN_OR_RETURN(WeightMatrix matrix, Describe(weight_name));
    if (matrix.n != part.n || matrix.k != k) {
      return InvalidArgument("tensor {}: got shape [{}, {}], wanted [{}, {}]", weight_name, matrix.n, matrix.k, part.n,
                             k);
    }
    used_.insert(weight_name);
    if (options_.fingerprints != nullptr) fingerprints.push_back(options_.fingerprints->Of(matrix));
    parts.push_back(std::move(matrix));
    if (!has_bias) continue;
    ASSIGN_OR_RETURN(const std::vector<float> values, LoadVector(part.name + ".bias", part.n));
    bias.insert(bias.end(), values.begin(), values.end());
  }
  LinearSpec spec;
  spec.fingerprints = fingerprints;
  spec.bias = bias;
  spec.precision = PrecisionOf(role, options_.precision);
  spec.is_head = role == Role::kHead;
  StatusOr<LinearPtr> op = Prepare(spec, parts);
  if (!op.ok()) return Annotate(op.status(), names.begin()->name);
  Report();
  return op;
}

StatusOr<std::vector<float>> Loader::LoadNorm(const std::string& name, int64_t size) {
  ASSIGN_OR_RETURN(std::vector<float> weight, LoadVector(name + ".weight", size));
  if (config_.norm_plus_one) {
    for (float& w : weight) w += 1.0f;
  }
  return weight;
}

Status Loader::LoadNorms(const LayerTensorNames& names, DecoderLayer& layer) {
  const ModelConfig& c = config_;
  if (c.pre_norms) {
    ASSIGN_OR_RETURN(layer.input_norm, LoadNorm(names.input_norm, c.hidden_size));
    ASSIGN_OR_RETURN(layer.mlp_norm, LoadNorm(names.mlp_norm, c.hidden_size));
  }
  if (c.post_norms) {
    ASSIGN_OR_RETURN(layer.attention_post_norm, LoadNorm(names.attention_post_norm, c.hidden_size));
    ASSIGN_OR_RETURN(layer.mlp_post_norm, LoadNorm(names.mlp_post_norm, c.hidden_size));
  }
  if (c.qk_norm != QkNorm::kNone) {
    const bool heads = c.qk_norm == QkNorm::kHead;
    ASSIGN_OR_RETURN(layer.q_norm, LoadNorm(names.q_norm, heads ? c.head_dim : c.num_heads * c.head_dim));
    ASSIGN_OR_RETURN(layer.k_norm, LoadNorm(names.k_norm, heads ? c.head_dim : c.num_kv_heads * c.head_dim));
  }
  return OkStatus();
}

Status Loader::LoadLayer(const LayerTensorNames& names, DecoderLayer& layer) {
  const ModelConfig& c = config_;
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  RETURN_IF_ERROR(LoadNorms(names, layer));
  ASSIGN_OR_RETURN(layer.qkv, c.fused_qkv ? LoadLinear({{names.qkv, q + 2 * kv}}, c.hidden_size, c.attention_bias)
                                          : LoadLinear({{names.q, q}, {names.k, kv}, {names.v, kv}}, c.hidden_size,
                                                       c.attention_bias));
  ASSIGN_OR_RETURN(layer.o, LoadLinear({{names.o, c.hidden_size}}, q, c.attention_output_bias));
  return layer.has_experts ? LoadExperts(names, layer) : LoadMlp(names, layer);
}

Status Loader::LoadMlp(const LayerTensorNames& names, DecoderLayer& layer) {
  const ModelConfig& c = config_;
  const int64_t inter = c.intermediate_size;
  ASSIGN_OR_RETURN(layer.gate_up,
                   c.fused_qkv ? LoadLinear({{names.gate_up, 2 * inter}}, c.hidden_size, c.mlp_bias)
                               : LoadLinear({{names.gate, inter}, {names.up, inter}}, c.hidden_size, c.mlp_bias));
  ASSIGN_OR_RETURN(layer.down, LoadLinear({{names.down, c.hidden_size}}, inter, c.mlp_bias));
  return OkStatus();
}

// The router decides by small differences and is a thousandth of the weights: f32 at every precision.
Status Loader::LoadExperts(const LayerTensorNames& names, DecoderLayer& layer) {
  const ModelConfig& c = config_;
  ASSIGN_OR_RETURN(layer.router, LoadLinear({{names.router, c.num_experts}}, c.hidden_size, false, Role::kRouter));
  layer.experts.resize(static_cast<size_t>(c.num_experts));
  for (size_t e = 0; e < layer.experts.size(); ++e) {
    const std::string prefix = fmt::format("{}{}.", names.expert, e);
    const std::string gate = prefix + names.expert_gate, up = prefix + names.expert_up,
                      down = prefix + names.expert_down;
    ASSIGN_OR_RETURN(layer.experts[e].gate_up,
                     LoadLinear({{gate, c.expert_size}, {up, c.expert_size}}, c.hidden_size, false));
    ASSIGN_OR_RETURN(layer.experts[e].down, LoadLinear({{down, c.hidden_size}}, c.expert_size, false));
  }
  return OkStatus();
}

Status Loader::LoadHead(const ModelTensorNames& names) {
  ASSIGN_OR_RETURN(out_.final_norm, LoadNorm(names.final_norm, config_.hidden_size));
  // A tied table is stored once: the lookup reads the rounded rows of the head.
  ASSIGN_OR_RETURN(out_.embedding,
                   LoadLinear({{names.embedding, config_.vocab_size}}, config_.hidden_size, false, Role::kHead));
  if (config_.tie_word_embeddings) {
    out_.head = out_.embedding;
    return OkStatus();
  }
  ASSIGN_OR_RETURN(out_.head, LoadLinear({{names.head, config_.vocab_size}}, config_.hidden_size, false, Role::kHead));
  return OkStatus();
}

// AutoGPTQ wrote a bias of zeros beside every matrix, also where the model has none.
bool Loader::IsZeroBias(const TensorInfo& info) const {
  if (!info.canonical_name.ends_with(".bias") || info.shape.size() != 1) return false;
  const StatusOr<std::vector<float>> values = checkpoint_.Vector(info.canonical_name);
  return values.ok() && std::all_of(values->begin(), values->end(), [](float value) { return value == 0.0f; });
}

// A tensor that the decoder does not read (a norm on q, a bias the config does not mention) would change the answer.
Status Loader::RefuseUnusedTensors(const ModelTensorNames& names) const {
  for (const TensorInfo& info : checkpoint_.tensors()) {
    const std::string& name = info.canonical_name;
    const bool harmless = !info.is_weight || name.ends_with("rotary_emb.inv_freq") || name == "rope_freqs.weight" ||
                          (config_.rope.kind == RopeConfig::Kind::kLongRope && name.starts_with("rope_factors_")) ||
                          (config_.tie_word_embeddings && name == names.head + ".weight");
    if (harmless || used_.count(name) > 0 || IsZeroBias(info)) continue;
    return FailedPrecondition("tensor {}: the file has it, but architecture {} as configured does not use it",
                              info.name, config_.architecture);
  }
  return OkStatus();
}

Status Loader::Load() {
  const Architecture* architecture = FindArchitecture(config_.architecture);
  const ModelTensorNames names = architecture->model_names();
  RETURN_IF_ERROR(LoadHead(names));
  out_.layers.resize(static_cast<size_t>(config_.num_layers));
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    DecoderLayer& layer = out_.layers[static_cast<size_t>(i)];
    layer.attention = MakeAttentionSpec(config_, i);
    layer.has_experts = config_.HasExperts(i);
    layer.local_rope = config_.has_local_rope && config_.IsSliding(i);
    RETURN_IF_ERROR(LoadLayer(architecture->layer_names(i), layer));
  }
  RETURN_IF_ERROR(RefuseUnusedTensors(names));
  out_.weight_bits = total_bits_ / total_weights_;
  return OkStatus();
}

// A config may claim any context; the tables of what is asked for must be a modest part of memory.
Status CheckRopeBytes(const ModelConfig& config, int64_t max_context) {
  constexpr uint64_t kMaxBytes = uint64_t{1} << 30;
  const auto rows = static_cast<uint64_t>(RopeTables::NumRows(config.rope, max_context));
  const uint64_t bytes = rows * static_cast<uint64_t>(config.head_dim) * sizeof(float);
  if (bytes <= kMaxBytes) return OkStatus();
  return ResourceExhausted("max_context: got {}, whose rope tables take {} bytes, wanted at most {}", max_context,
                           bytes, kMaxBytes);
}

}  // namespace

KvGeometry DecoderModel::KvGeometryFor(const ModelConfig& config, const Precision& precision,
                                       std::optional<DType> kv_dtype) {
  KvGeometry kv;
  kv.dtype = kv_dtype.value_or(KvDType(precision));
  kv.num_layers = static_cast<int>(config.num_layers);
  kv.num_kv_heads = static_cast<int>(config.num_kv_heads);
  kv.head_dim = static_cast<int>(config.head_dim);
  return kv;
}

StatusOr<std::shared_ptr<const DecoderModel>> DecoderModel::Load(const Checkpoint& checkpoint, const Backend& backend,
                                                                 Parallel& parallel, WeightStore* store,
                                                                 const LoadOptions& options) {
  auto impl = std::make_unique<Impl>();
  StatusOr<ModelConfig> config = ParseModelConfig(checkpoint.config());
  if (!config.ok()) return Annotate(config.status(), checkpoint.path());
  impl->config = *std::move(config);
  impl->backend = &backend;
  impl->precision = options.precision;
  impl->max_context = options.max_context == 0 ? impl->config.max_positions : options.max_context;
  if (impl->max_context < 1 || impl->max_context > impl->config.max_positions) {
    return InvalidArgument("max_context: got {}, wanted 1 to the model's {}", options.max_context,
                           impl->config.max_positions);
  }
  RETURN_IF_ERROR(CheckRopeBytes(impl->config, impl->max_context));
  impl->kv = KvGeometryFor(impl->config, impl->precision, options.kv_dtype);
  if (impl->kv.dtype != DType::kF32 && impl->kv.dtype != DType::kBF16 && impl->kv.dtype != DType::kF16 &&
      impl->kv.dtype != DType::kI8) {
    return InvalidArgument("kv_dtype: got {}, wanted f32, bf16, f16 or i8", DTypeName(impl->kv.dtype));
  }
  const Status loaded = Loader(checkpoint, backend, parallel, store, options, *impl).Load();
  if (!loaded.ok()) return Annotate(loaded, checkpoint.path());
  const int64_t rotary_dim = impl->config.rotary_dim > 0 ? impl->config.rotary_dim : impl->config.head_dim;
  impl->rope = RopeTables(impl->config.rope, rotary_dim, impl->max_context);
  if (impl->config.has_local_rope) {
    impl->local_rope = RopeTables(impl->config.local_rope, rotary_dim, impl->max_context);
  }
  return std::shared_ptr<const DecoderModel>(new DecoderModel(std::move(impl)));
}

}  // namespace bitrate
