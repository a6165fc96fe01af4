// The packaged SmolLM2-135M-Instruct: a real file of a real converter. ./test.sh fetches it.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/gguf_metadata.h"

namespace bitrate {
namespace {

const std::string kModel = BITRATE_MODEL_DIR "/SmolLM2-135M-Instruct.Q4_1.gguf";

class RealModel : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(kModel)) << kModel << " is not there: ./test.sh fetches it";
    auto opened = Checkpoint::Open(kModel);
    ASSERT_TRUE(opened.ok()) << opened.status();
    checkpoint_ = *opened;
  }
  std::shared_ptr<const Checkpoint> checkpoint_;
};

// Figures of the model card's config.json.
TEST_F(RealModel, Config) {
  const nlohmann::json& config = checkpoint_->config();
  const std::pair<const char*, int> kNumbers[] = {{"hidden_size", 576},       {"intermediate_size", 1536},
                                                  {"num_hidden_layers", 30},  {"num_attention_heads", 9},
                                                  {"num_key_value_heads", 3}, {"head_dim", 64},
                                                  {"vocab_size", 49152},      {"bos_token_id", 1},
                                                  {"eos_token_id", 2},        {"max_position_embeddings", 8192}};
  for (const auto& [key, want] : kNumbers) EXPECT_EQ(config[key], want) << key;
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["rope_parameters"], nlohmann::json({{"rope_type", "default"}, {"rope_theta", 100000.0}}));
  EXPECT_EQ(config["rms_norm_eps"].get<float>(), 1e-5f);
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_EQ(config["generation_eos_token_id"], nlohmann::json({2}));
}

TEST_F(RealModel, TensorsAreTheDocumentedOnes) {
  // 210 matrices in Q4_1, the embedding in Q8_0, 61 norms in F32.
  std::map<std::string, int> types;
  uint64_t elements = 0;
  for (const TensorInfo& info : checkpoint_->tensors()) {
    ++types[info.type_name];
    EXPECT_TRUE(info.canonical_name.starts_with("model.")) << info.name;
    uint64_t count = 1;
    for (int64_t dim : info.shape) count *= static_cast<uint64_t>(dim);
    elements += count;
  }
  EXPECT_EQ(types, (std::map<std::string, int>{{"Q4_1", 210}, {"Q8_0", 1}, {"F32", 61}}));
  EXPECT_EQ(elements, 134'515'008u);
}

TEST_F(RealModel, WeightsAreFiniteAndOfTheUsualSize) {
  for (const char* name : {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                           "model.layers.29.mlp.down_proj.weight", "model.norm.weight"}) {
    const auto values = checkpoint_->Decode(name, nullptr);
    ASSERT_TRUE(values.ok()) << values.status();
    double squares = 0;
    for (float v : *values) squares += static_cast<double>(v) * v;
    const double rms = std::sqrt(squares / static_cast<double>(values->size()));
    EXPECT_GT(rms, 0.01) << name;
    EXPECT_LT(rms, 100.0) << name;
  }
}

TEST_F(RealModel, TokenizerMetadata) {
  const GgufMetadata& metadata = *checkpoint_->gguf_metadata();
  EXPECT_EQ(*metadata.GetString("tokenizer.ggml.pre"), "smollm");
  const auto tokens = metadata.GetStringArray("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->size(), 49152u);
  EXPECT_EQ((*tokens)[1], "<|im_start|>");
  EXPECT_EQ(metadata.GetStringArray("tokenizer.ggml.merges")->size(), 48900u);
  EXPECT_EQ(metadata.GetIntArray("tokenizer.ggml.token_type")->size(), 49152u);
}

}  // namespace
}  // namespace bitrate
