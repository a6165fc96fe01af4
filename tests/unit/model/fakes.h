// A checkpoint and a backend in memory, for tests of loading: no file, no arithmetic.
#ifndef BITRATE_TESTS_UNIT_MODEL_FAKES_H_
#define BITRATE_TESTS_UNIT_MODEL_FAKES_H_

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/backend/backend.h"

namespace bitrate {

class FakeCheckpoint final : public Checkpoint {
 public:
  // A llama of 2 layers, hidden 8, 2 heads of 4, 1 KV head, inter 12, vocab 10, all tensors f32 zeros.
  static FakeCheckpoint TinyLlama(bool tied);

  void Add(const std::string& name, std::vector<int64_t> shape, float value = 0);
  void Remove(const std::string& name);

  Kind kind() const override { return Kind::kHuggingFace; }
  const std::string& path() const override { return path_; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  const nlohmann::json& config() const override { return config_json; }
  bool Has(std::string_view name) const override { return data_.count(std::string(name)) > 0; }
  StatusOr<WeightMatrix> Matrix(std::string_view name) const override;
  StatusOr<std::vector<float>> Vector(std::string_view name) const override;
  StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const override;
  const std::string& tokenizer_json() const override { return empty_; }
  const std::string& tokenizer_config_json() const override { return empty_; }
  const std::string& chat_template_jinja() const override { return empty_; }
  const GgufMetadata* gguf_metadata() const override { return nullptr; }
  std::string digest() const override { return digest_text; }

  nlohmann::json config_json;
  std::string digest_text = "digest";

 private:
  const TensorInfo* Find(std::string_view name) const;

  std::string path_ = "tiny";
  std::string empty_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::vector<float>> data_;
};

// Counts what is prepared; its operators know their shapes only.
class FakeBackend final : public Backend {
 public:
  std::string_view name() const override { return "fake"; }
  std::string_view isa() const override { return "none"; }
  StatusOr<std::shared_ptr<const LinearOp>> PrepareLinear(const LinearSpec& spec, ExecContext& context) const override;
  std::string PreparedKey(const LinearSpec& spec) const override;
  std::shared_ptr<const LowRankOp> PrepareLowRank(std::span<const LowRankPart> parts, int64_t k) const override;
  void AddLowRank(ExecContext&, std::span<const LowRankRows>, const float*, int64_t, float*, int64_t) const override {}
  void RmsNorm(ExecContext&, const float*, const float*, float, int64_t, int64_t, float*) const override {}
  void AddRmsNorm(ExecContext&, float*, const float*, const float*, float, int64_t, int64_t, float*) const override {}
  void Add(ExecContext&, float*, const float*, int64_t) const override {}
  void RmsNormSlices(ExecContext&, float*, int64_t, const float*, float, int64_t, int64_t, int64_t) const override {}
  void Scale(ExecContext&, float*, float, int64_t) const override {}
  void Softcap(ExecContext&, float*, float, int64_t) const override {}
  void GatedActivation(ExecContext&, Activation, const float*, int64_t, int64_t, float*) const override {}
  void RouteExperts(ExecContext&, float*, int64_t, int64_t, int64_t, bool, int32_t*, float*) const override {}
  void PickRows(ExecContext&, const float*, std::span<const int32_t>, int64_t, float*) const override {}
  void CombineRows(ExecContext&, const float*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                   float*) const override {}
  void RopeAndStoreKv(ExecContext&, const AttentionSpec&, const RopeTable&, int, const KvBatch&,
                      float*) const override {}
  void Attention(ExecContext&, const AttentionSpec&, int, const KvBatch&, const float*, float*) const override {}

  struct Prepared {
    std::string name;  // of the first part
    int64_t n = 0, k = 0;
    size_t bias = 0;
    bool is_head = false;
  };
  mutable std::vector<Prepared> prepared;
  mutable std::vector<std::vector<int64_t>> low_rank_columns;  // of the parts of each operator
};

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_MODEL_FAKES_H_
