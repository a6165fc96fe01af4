#include "engine/artifact/gguf_checkpoint.h"

#include <nlohmann/json.hpp>

#include "engine/artifact/gguf_config.h"
#include "engine/artifact/gguf_file.h"
#include "engine/artifact/gguf_names.h"
#include "engine/artifact/source_identity.h"
#include "engine/artifact/tensor_table.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  Kind kind() const override { return Kind::kGguf; }
  const std::string& path() const override { return file_->path(); }
  const std::vector<TensorInfo>& tensors() const override { return table_.infos(); }
  const nlohmann::json& config() const override { return config_; }
  bool Has(std::string_view name) const override { return table_.Has(name); }
  StatusOr<WeightMatrix> Matrix(std::string_view name) const override { return table_.Matrix(name); }
  StatusOr<std::vector<float>> Vector(std::string_view name) const override { return table_.Vector(name); }
  StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const override {
    return table_.Decode(name, shape);
  }
  const std::string& tokenizer_json() const override { return empty_; }
  const std::string& tokenizer_config_json() const override { return empty_; }
  const std::string& chat_template_jinja() const override { return empty_; }
  const GgufMetadata* gguf_metadata() const override { return &metadata_; }
  std::string digest() const override { return table_.Digest(file_->bytes().size()); }
  std::string source_identity(std::chrono::system_clock::time_point now) const override {
    return SourceIdentity(digest(), {&file_, 1}, now);
  }
  void ReleasePages() const override { file_->ReleasePages(); }

  Status Load() {
    ASSIGN_OR_RETURN(GgufFile gguf, ParseGguf(file_->bytes()));
    metadata_ = std::move(gguf.metadata);
    // A wrong type of this key is reported by MakeGgufConfig.
    const StatusOr<std::string> architecture = metadata_.GetString("general.architecture");
    for (GgufTensor& tensor : gguf.tensors) {
      RETURN_IF_ERROR(AddTensor(architecture.ok() ? *architecture : "", std::move(tensor)));
    }
    ASSIGN_OR_RETURN(config_, MakeGgufConfig(metadata_, table_));
    return OkStatus();
  }

 private:
  Status AddTensor(std::string_view architecture, GgufTensor tensor) {
    if (const auto names = StackedExpertNames(architecture, tensor.name)) {
      return AddExperts(architecture, tensor, *names);
    }
    TensorTable::Entry entry{file_->bytes().subspan(tensor.begin, tensor.bytes), file_, 0};
    ASSIGN_OR_RETURN(entry.permuted_heads, PermutedHeads(architecture, tensor));
    TensorInfo info;
    info.canonical_name = CanonicalTensorName(architecture, tensor.name);
    info.name = std::move(tensor.name);
    info.format = tensor.format;
    info.type_name = GetQuantFormat(tensor.format).name;
    info.shape = std::move(tensor.shape);
    info.bytes = tensor.bytes;
    return table_.Add(std::move(info), std::move(entry));
  }

  // Each expert as a matrix of its own: a slice of the mapped bytes, NAME[i] among the file's names.
  Status AddExperts(std::string_view architecture, const GgufTensor& tensor, const ExpertNames& names) {
    if (tensor.shape.size() != 3) {
      return InvalidArgument("GGUF tensor {}: {} dimensions, want 3: columns, rows and experts", tensor.name,
                             tensor.shape.size());
    }
    ASSIGN_OR_RETURN(const int64_t experts, ReadGgufExperts(metadata_, architecture));
    if (tensor.shape[0] != experts) {
      return InvalidArgument("GGUF tensor {}: {} experts, want {}.expert_count = {}", tensor.name, tensor.shape[0],
                             architecture, experts);
    }
    const auto count = static_cast<uint64_t>(experts);
    if (table_.infos().size() + count > limits::kMaxTensors) {
      return ResourceExhausted("GGUF tensor {}: with each expert as one, more than {} tensors", tensor.name,
                               limits::kMaxTensors);
    }
    const uint64_t bytes = tensor.bytes / count;  // exact: an expert is whole rows of whole blocks
    for (uint64_t i = 0; i < count; ++i) {
      TensorInfo info;
      info.name = fmt::format("{}[{}]", tensor.name, i);
      info.canonical_name = fmt::format("{}{}{}", names.before, i, names.after);
      info.format = tensor.format;
      info.type_name = GetQuantFormat(tensor.format).name;
      info.shape = {tensor.shape[1], tensor.shape[2]};
      info.bytes = bytes;
      RETURN_IF_ERROR(table_.Add(std::move(info), {file_->bytes().subspan(tensor.begin + i * bytes, bytes), file_, 0}));
    }
    return OkStatus();
  }

  StatusOr<int64_t> PermutedHeads(std::string_view architecture, const GgufTensor& tensor) const {
    const RowPermutation permutation = StoredPermutation(architecture, tensor.name);
    if (permutation == RowPermutation::kNone) return int64_t{0};
    ASSIGN_OR_RETURN(const GgufHeads heads, ReadGgufHeads(metadata_, architecture));
    const int64_t count = permutation == RowPermutation::kQueryHeads ? heads.query : heads.key_value;
    if (tensor.shape[0] % (2 * count) != 0) {
      return InvalidArgument("GGUF tensor {}: {} rows do not divide into {} heads of an even size", tensor.name,
                             tensor.shape[0], count);
    }
    return count;
  }

  std::shared_ptr<const MappedFile> file_;
  GgufMetadata metadata_;
  TensorTable table_;
  nlohmann::json config_;
  const std::string empty_;
};

}  // namespace

StatusOr<std::shared_ptr<const Checkpoint>> OpenGgufCheckpoint(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  return GgufCheckpointFromMapping(std::move(file));
}

StatusOr<std::shared_ptr<const Checkpoint>> GgufCheckpointFromMapping(std::shared_ptr<const MappedFile> file) {
  const std::string path = file->path();
  auto checkpoint = std::make_shared<GgufCheckpoint>(std::move(file));
  RETURN_IF_ERROR(Annotate(checkpoint->Load(), path));
  return std::shared_ptr<const Checkpoint>(std::move(checkpoint));
}

}  // namespace bitrate
