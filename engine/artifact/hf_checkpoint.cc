#include "engine/artifact/hf_checkpoint.h"

#include <algorithm>
#include <optional>

#include "engine/artifact/checked.h"
#include "engine/artifact/hf_folder.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/artifact/source_identity.h"
#include "engine/artifact/tensor_table.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kGenerationConfig = "generation_config.json";
constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

class HfCheckpoint final : public Checkpoint {
 public:
  Kind kind() const override { return Kind::kHuggingFace; }
  const std::string& path() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return table_.infos(); }
  const json& config() const override { return config_; }
  bool Has(std::string_view name) const override { return table_.Has(name); }
  StatusOr<WeightMatrix> Matrix(std::string_view name) const override { return table_.Matrix(name); }
  StatusOr<std::vector<float>> Vector(std::string_view name) const override { return table_.Vector(name); }
  StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const override {
    // A part of a quantized matrix answers to its own name, as stored.
    return table_.Has(name) || !parts_.Has(name) ? table_.Decode(name, shape) : parts_.Decode(name, shape);
  }
  const std::string& tokenizer_json() const override { return tokenizer_json_; }
  const std::string& tokenizer_config_json() const override { return tokenizer_config_json_; }
  const std::string& chat_template_jinja() const override { return chat_template_jinja_; }
  const GgufMetadata* gguf_metadata() const override { return nullptr; }
  std::string digest() const override { return table_.Digest(file_bytes_); }
  std::string source_identity(std::chrono::system_clock::time_point now) const override {
    return SourceIdentity(digest(), files_, now);
  }
  void ReleasePages() const override {
    for (const auto& file : files_) file->ReleasePages();
  }

  Status Load(const HfFolder& folder);

 private:
  Status LoadConfig(const HfFolder& folder);
  Status LoadTexts(const HfFolder& folder);
  Status LoadWeights(const HfFolder& folder);
  Status LoadShards(const HfFolder& folder, std::string_view index_text);
  StatusOr<std::shared_ptr<const SafetensorsFile>> OpenShard(const HfFolder& folder, std::string_view name);
  Status AddTensors(const SafetensorsFile& file);
  Status AddStored();
  Status AddQuantized(const std::vector<QuantizedMatrix>& matrices);

  std::string path_;
  json config_;
  std::optional<json> quantization_;
  StoredTensors stored_;
  TensorTable table_;  // what a model reads
  TensorTable parts_;  // the stored tensors of quantized matrices
  std::string tokenizer_json_, tokenizer_config_json_, chat_template_jinja_;
  uint64_t file_bytes_ = 0;
  std::vector<std::shared_ptr<const MappedFile>> files_;
};

StatusOr<json> ReadJsonObject(const HfFolder& folder, std::string_view name) {
  ASSIGN_OR_RETURN(const std::string file, folder.Resolve(name));
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(json value, ParseJson(text, name));
  if (!value.is_object()) return InvalidArgument("{}: got {}, want an object", name, value.type_name());
  return value;
}

std::optional<QuantFormatId> WeightFormat(std::optional<DType> dtype) {
  if (dtype == DType::kF32) return QuantFormatId::kF32;
  if (dtype == DType::kF16) return QuantFormatId::kF16;
  if (dtype == DType::kBF16) return QuantFormatId::kBF16;
  return std::nullopt;
}

Status HfCheckpoint::Load(const HfFolder& folder) {
  path_ = folder.path();
  RETURN_IF_ERROR(LoadConfig(folder));
  RETURN_IF_ERROR(LoadTexts(folder));
  RETURN_IF_ERROR(LoadWeights(folder));
  return AddStored();
}

Status HfCheckpoint::LoadConfig(const HfFolder& folder) {
  ASSIGN_OR_RETURN(config_, ReadJsonObject(folder, kConfig));
  ASSIGN_OR_RETURN(const std::string gptq, folder.ReadOptional("quantize_config.json", limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(const std::string awq, folder.ReadOptional("quant_config.json", limits::kMaxJsonBytes));
  StatusOr<std::optional<json>> quantization = FindQuantizationConfig(config_, gptq, awq);
  if (!quantization.ok()) return Annotate(quantization.status(), kConfig);
  quantization_ = *std::move(quantization);
  if (!folder.Has(kGenerationConfig)) return OkStatus();
  ASSIGN_OR_RETURN(const json generation, ReadJsonObject(folder, kGenerationConfig));
  if (const json* eos = FindField(generation, "eos_token_id"); eos != nullptr) {
    config_["generation_eos_token_id"] = eos->is_array() ? *eos : json::array({*eos});
  }
  return OkStatus();
}

Status HfCheckpoint::LoadTexts(const HfFolder& folder) {
  ASSIGN_OR_RETURN(tokenizer_json_, folder.ReadOptional("tokenizer.json", limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(tokenizer_config_json_, folder.ReadOptional("tokenizer_config.json", limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(chat_template_jinja_, folder.ReadOptional("chat_template.jinja", limits::kMaxTemplateBytes));
  return OkStatus();
}

Status HfCheckpoint::LoadWeights(const HfFolder& folder) {
  StatusOr<std::string> index = folder.Resolve(kIndex);
  if (index.ok()) {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*index, limits::kMaxJsonBytes));
    return LoadShards(folder, text);
  }
  if (index.status().code() != StatusCode::kNotFound) return index.status();
  StatusOr<std::shared_ptr<const SafetensorsFile>> single = OpenShard(folder, kSingle);
  if (single.ok()) return AddTensors(**single);
  if (single.status().code() != StatusCode::kNotFound) return single.status();
  if (folder.Has("pytorch_model.bin") || folder.Has("pytorch_model.bin.index.json")) {
    return FailedPrecondition("{}: has pickled weights only (pytorch_model.bin); want {}", path_, kSingle);
  }
  return NotFound("{}: has neither {} nor {}", path_, kSingle, kIndex);
}

Status HfCheckpoint::LoadShards(const HfFolder& folder, std::string_view index_text) {
  ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(index_text));
  std::shared_ptr<const SafetensorsFile> shard;
  std::string_view open_name;
  for (const auto& [file, tensor] : index.entries) {
    if (shard == nullptr || file != open_name) {
      ASSIGN_OR_RETURN(shard, OpenShard(folder, file));
      RETURN_IF_ERROR(AddTensors(*shard));
      open_name = file;
    }
    // Every tensor of the shard is known now, those of other shards are too: ask for this file's own.
    if (stored_.Find(tensor) == nullptr || shard->Find(tensor) == nullptr) {
      return InvalidArgument("{}: tensor {} is not in {}", kIndex, Printable(tensor), Printable(file));
    }
  }
  return OkStatus();
}

StatusOr<std::shared_ptr<const SafetensorsFile>> HfCheckpoint::OpenShard(const HfFolder& folder,
                                                                         std::string_view name) {
  ASSIGN_OR_RETURN(const std::string file, folder.Resolve(name));
  return SafetensorsFile::Open(file);
}

Status HfCheckpoint::AddTensors(const SafetensorsFile& file) {
  file_bytes_ += file.file_bytes();
  files_.push_back(file.mapping());
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (stored_.Find(tensor.name) != nullptr) {
      return InvalidArgument("{}: tensor {}: the name appears twice", file.path(), Printable(tensor.name));
    }
    stored_.Add({tensor.name, tensor.dtype_name, tensor.dtype, tensor.shape, file.Bytes(tensor), file.mapping()});
  }
  return OkStatus();
}

TensorInfo InfoOf(const StoredTensor& tensor) {
  const std::optional<QuantFormatId> format = WeightFormat(tensor.dtype);
  TensorInfo info;
  info.name = tensor.name;
  info.canonical_name = tensor.name;
  info.format = format.value_or(QuantFormatId::kF32);
  info.is_weight = format.has_value();
  info.type_name = tensor.dtype_name;
  info.shape = tensor.shape;
  info.bytes = tensor.data.size();
  return info;
}

Status HfCheckpoint::AddQuantized(const std::vector<QuantizedMatrix>& matrices) {
  for (const QuantizedMatrix& matrix : matrices) {
    TensorInfo info;
    info.name = info.canonical_name = matrix.name;
    info.format = QuantFormatId::kCoded;
    info.type_name = matrix.layout->name;
    info.shape = {matrix.n, matrix.k};
    info.bytes = matrix.bytes;
    info.coded = matrix.layout;
    TensorTable::Entry entry;
    entry.make = matrix.make;
    RETURN_IF_ERROR(table_.Add(std::move(info), std::move(entry)));
    for (const std::string& part : matrix.parts) {
      const StoredTensor& tensor = *stored_.Find(part);
      RETURN_IF_ERROR(parts_.Add(InfoOf(tensor), {tensor.data, tensor.owner}));
    }
  }
  return OkStatus();
}

Status HfCheckpoint::AddStored() {
  if (quantization_.has_value()) {
    StatusOr<std::vector<QuantizedMatrix>> matrices = CollectQuantized(*quantization_, stored_);
    Status added = matrices.ok() ? AddQuantized(*matrices) : matrices.status();
    if (!added.ok()) return Annotate(added, path_);
  }
  for (const auto& [name, tensor] : stored_.all()) {
    if (parts_.Has(name)) continue;
    RETURN_IF_ERROR(Annotate(table_.Add(InfoOf(tensor), {tensor.data, tensor.owner}), path_));
  }
  return OkStatus();
}

}  // namespace

StatusOr<ShardIndex> ParseShardIndex(std::string_view text) {
  ASSIGN_OR_RETURN(const json root, ParseJson(text, kIndex));
  StatusOr<const json*> map = GetObject(root, "weight_map");
  if (!map.ok()) return Annotate(map.status(), kIndex);
  if ((*map)->size() > limits::kMaxTensors) {
    return ResourceExhausted("{}: weight_map has {} tensors, the limit is {}", kIndex, (*map)->size(),
                             limits::kMaxTensors);
  }
  ShardIndex index;
  for (const auto& [tensor, file] : (*map)->items()) {
    if (!file.is_string()) {
      return InvalidArgument("{}: weight_map.{}: got {}, want a file name", kIndex, Printable(tensor),
                             file.type_name());
    }
    index.entries.emplace_back(file.get<std::string>(), tensor);
  }
  if (index.entries.empty()) return InvalidArgument("{}: weight_map is empty", kIndex);
  std::sort(index.entries.begin(), index.entries.end());
  uint64_t shards = 1;
  for (size_t i = 1; i < index.entries.size(); ++i) shards += index.entries[i].first != index.entries[i - 1].first;
  if (shards > limits::kMaxShards) {
    return ResourceExhausted("{}: {} shards, the limit is {}", kIndex, shards, limits::kMaxShards);
  }
  return index;
}

StatusOr<std::shared_ptr<const Checkpoint>> OpenHfCheckpoint(const std::string& path) {
  ASSIGN_OR_RETURN(const HfFolder folder, HfFolder::Open(path));
  auto checkpoint = std::make_shared<HfCheckpoint>();
  RETURN_IF_ERROR(checkpoint->Load(folder));
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

}  // namespace bitrate
