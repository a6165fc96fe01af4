// Checkpoints against what the formats' own tools made of them: weights equal to the bit.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

const std::string kGolden = BITRATE_GOLDEN_DIR;

nlohmann::json CaseJson(const std::string& folder) {
  std::ifstream in(folder + "/case.json");
  return nlohmann::json::parse(in);
}

class GgufGolden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = kGolden + "/quant/" + GetParam();
    auto checkpoint = Checkpoint::Open(folder_ + "/model.gguf");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *checkpoint;
  }
  std::string folder_;
  std::shared_ptr<const Checkpoint> checkpoint_;
};

TEST_P(GgufGolden, DequantizesToTheToolsBits) {
  const auto golden = SafetensorsFile::Open(folder_ + "/dequant.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_GE((*golden)->tensors().size(), 3u);
  for (const SafetensorsTensor& tensor : (*golden)->tensors()) {
    const auto want = *(*golden)->Floats(tensor.name);
    const auto got = checkpoint_->Decode(tensor.name, nullptr);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_GE(got->size(), want.size());  // the golden file has the first rows
    EXPECT_EQ(std::memcmp(got->data(), want.data(), want.size() * sizeof(float)), 0) << tensor.name;
    if (!checkpoint_->Has(tensor.name)) continue;
    const auto matrix = checkpoint_->Matrix(tensor.name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    std::vector<float> rows(want.size());
    DecodeRows(*matrix, 0, tensor.shape[0], rows.data());
    EXPECT_EQ(std::memcmp(rows.data(), want.data(), want.size() * sizeof(float)), 0) << tensor.name;
  }
}

TEST_P(GgufGolden, ListsTheTensorsOfTheCase) {
  const nlohmann::json want = CaseJson(folder_)["tensor_types"];
  if (want.is_null()) return;  // cases of one float type do not list them
  ASSERT_EQ(checkpoint_->tensors().size(), want.size());
  for (const TensorInfo& info : checkpoint_->tensors()) EXPECT_EQ(info.type_name, want.at(info.name)) << info.name;
}

TEST_P(GgufGolden, EveryLayerTensorHasItsHuggingFaceName) {
  EXPECT_EQ(checkpoint_->config()["model_type"], "llama");
  for (const TensorInfo& info : checkpoint_->tensors()) {
    EXPECT_NE(info.canonical_name, info.name);
    EXPECT_TRUE(checkpoint_->Decode(info.canonical_name, nullptr).ok()) << info.name;
  }
  const int64_t layers = checkpoint_->config()["num_hidden_layers"];
  for (int64_t i = 0; i < layers; ++i) {
    EXPECT_TRUE(checkpoint_->Matrix("model.layers." + std::to_string(i) + ".mlp.down_proj.weight").ok());
    EXPECT_TRUE(checkpoint_->Vector("model.layers." + std::to_string(i) + ".input_layernorm.weight").ok());
  }
}

TEST_P(GgufGolden, FourBitGridsRepackExactly) {
  for (const TensorInfo& info : checkpoint_->tensors()) {
    if (!IsFourBitGrid(info.format) || info.shape.size() != 2) continue;
    const auto matrix = checkpoint_->Matrix(info.canonical_name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    std::vector<float> want(static_cast<size_t>(matrix->n * matrix->k)), got(want.size());
    DecodeRows(*matrix, 0, matrix->n, want.data());
    Dequantize(RepackToInt4(*matrix, 0, matrix->n), got.data());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << info.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GgufGolden,
                         testing::Values("gguf_f16", "gguf_bf16", "gguf_q8_0", "gguf_q4_0", "gguf_q4_1", "gguf_q5_0",
                                         "gguf_q5_1", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q2_k", "gguf_q3_k",
                                         "gguf_iq4_nl", "gguf_iq4_xs", "gguf_mix_q4_k_m"),
                         [](const auto& info) { return std::string(info.param); });

struct FolderCase {
  const char* name;
  QuantFormatId format;
  int layers;
  bool tied, bias;
};

class FolderGolden : public testing::TestWithParam<FolderCase> {};

TEST_P(FolderGolden, OpensWithAllItsTensors) {
  const FolderCase& param = GetParam();
  const auto opened = Checkpoint::Open(kGolden + "/arch/" + param.name + "/model");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Checkpoint& checkpoint = **opened;
  // Embedding, final norm and head; two norms and seven matrices a layer, and four biases where there are any.
  const size_t want = 2 + (param.tied ? 0 : 1) + static_cast<size_t>(param.layers) * (9 + (param.bias ? 4 : 0));
  EXPECT_EQ(checkpoint.tensors().size(), want);
  EXPECT_EQ(checkpoint.config()["model_type"], "llama");
  EXPECT_EQ(checkpoint.Has("lm_head.weight"), !param.tied);
  EXPECT_EQ(checkpoint.Has("model.layers.0.self_attn.q_proj.bias"), param.bias);
  for (const TensorInfo& info : checkpoint.tensors()) {
    EXPECT_EQ(info.format, param.format) << info.name;
    EXPECT_EQ(info.name, info.canonical_name);
    std::vector<int64_t> shape;
    const auto values = checkpoint.Decode(info.name, &shape);
    ASSERT_TRUE(values.ok()) << values.status();
    EXPECT_EQ(shape, info.shape);
    EXPECT_EQ(shape.size() == 2 ? checkpoint.Matrix(info.name).status() : checkpoint.Vector(info.name).status(),
              OkStatus());
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, FolderGolden,
                         testing::Values(FolderCase{"llama_tied", QuantFormatId::kF32, 2, true, false},
                                         FolderCase{"llama_llama3rope_sharded", QuantFormatId::kBF16, 4, false, false},
                                         FolderCase{"llama_rope_linear", QuantFormatId::kBF16, 2, false, false},
                                         FolderCase{"llama_rope_yarn", QuantFormatId::kBF16, 2, false, false},
                                         FolderCase{"llama_attn_bias", QuantFormatId::kF16, 2, false, true}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bitrate
