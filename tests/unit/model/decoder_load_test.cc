#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/model/decoder_model.h"
#include "engine/model/weight_store.h"
#include "tests/unit/model/fakes.h"

namespace bitrate {
namespace {

using testing::HasSubstr;

class DecoderLoad : public testing::Test {
 protected:
  StatusOr<std::shared_ptr<const DecoderModel>> Load(const FakeCheckpoint& checkpoint, const char* precision = "fp32",
                                                     WeightStore* store = nullptr) {
    DecoderModel::LoadOptions options;
    options.precision = *Precision::Parse(precision);
    options.progress = [this](std::string_view, int64_t done, int64_t total) { progress_.emplace_back(done, total); };
    InlineParallel parallel;
    return DecoderModel::Load(checkpoint, backend_, parallel, store, options);
  }
  void ExpectError(const FakeCheckpoint& checkpoint, StatusCode code, std::vector<const char*> words) {
    const auto model = Load(checkpoint);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.status().code(), code) << model.status();
    for (const char* word : words) EXPECT_THAT(std::string(model.status().message()), HasSubstr(word));
  }

  FakeBackend backend_;
  std::vector<std::pair<int64_t, int64_t>> progress_;
};

TEST_F(DecoderLoad, FusesAndCounts) {
  const auto loaded = Load(FakeCheckpoint::TinyLlama(false));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const DecoderModel& model = **loaded;
  ASSERT_EQ(backend_.prepared.size(), 10u);
  EXPECT_EQ(backend_.prepared[0].name, "model.embed_tokens.weight");
  EXPECT_TRUE(backend_.prepared[0].is_head);
  EXPECT_EQ(backend_.prepared[1].name, "lm_head.weight");
  EXPECT_EQ(backend_.prepared[2].name, "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(backend_.prepared[2].n, 16);  // q 8 + k 4 + v 4
  EXPECT_EQ(backend_.prepared[4].n, 24);  // gate | up
  EXPECT_FALSE(backend_.prepared[4].is_head);
  // 16 bits: (2 * 80 + 2 * (128 + 64 + 192 + 96)) * 2 bytes, norms 5 * 8 * 4 bytes.
  EXPECT_EQ(model.weight_bytes(), 2 * (160 + 960) + 160u);
  EXPECT_EQ(model.unique_weight_bytes(), model.weight_bytes());
  EXPECT_EQ(model.weight_bits(), 16.0);
  EXPECT_EQ(progress_.back(), std::make_pair(int64_t{10}, int64_t{10}));
  EXPECT_EQ(progress_.size(), 10u);
}

TEST_F(DecoderLoad, TiedTableIsStoredOnce) {
  const auto model = Load(FakeCheckpoint::TinyLlama(true));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(backend_.prepared.size(), 9u);
  FakeCheckpoint with_head = FakeCheckpoint::TinyLlama(true);
  with_head.Add("lm_head.weight", {10, 8});  // some exporters store it all the same
  EXPECT_TRUE(Load(with_head).ok());
}

TEST_F(DecoderLoad, BiasesAreStacked) {
  FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  checkpoint.config_json["attention_bias"] = true;
  for (const std::string layer : {"model.layers.0.self_attn.", "model.layers.1.self_attn."}) {
    checkpoint.Add(layer + "q_proj.bias", {8});
    checkpoint.Add(layer + "k_proj.bias", {4});
    checkpoint.Add(layer + "v_proj.bias", {4});
    checkpoint.Add(layer + "o_proj.bias", {8});
  }
  ASSERT_TRUE(Load(checkpoint).ok());
  EXPECT_EQ(backend_.prepared[1].bias, 16u);
  EXPECT_EQ(backend_.prepared[2].bias, 8u);
  EXPECT_EQ(backend_.prepared[3].bias, 0u);
}

TEST_F(DecoderLoad, NamesTensorGotAndWanted) {
  FakeCheckpoint shape = FakeCheckpoint::TinyLlama(true);
  shape.Add("model.layers.1.self_attn.k_proj.weight", {5, 8});
  ExpectError(shape, StatusCode::kInvalidArgument,
              {"tiny: ", "model.layers.1.self_attn.k_proj.weight", "got shape [5, 8]", "wanted [4, 8]"});
  FakeCheckpoint norm = FakeCheckpoint::TinyLlama(true);
  norm.Add("model.norm.weight", {7});
  ExpectError(norm, StatusCode::kInvalidArgument, {"model.norm.weight", "got shape [7]", "wanted [8]"});
  FakeCheckpoint missing = FakeCheckpoint::TinyLlama(true);
  missing.Remove("model.layers.1.mlp.down_proj.weight");
  ExpectError(missing, StatusCode::kNotFound, {"model.layers.1.mlp.down_proj.weight"});
  FakeCheckpoint head = FakeCheckpoint::TinyLlama(false);
  head.Remove("lm_head.weight");
  ExpectError(head, StatusCode::kNotFound, {"lm_head.weight"});
}

TEST_F(DecoderLoad, RefusesTensorsThatItWouldIgnore) {
  FakeCheckpoint norm = FakeCheckpoint::TinyLlama(true);
  norm.Add("model.layers.0.self_attn.q_norm.weight", {4});
  ExpectError(norm, StatusCode::kFailedPrecondition, {"model.layers.0.self_attn.q_norm.weight"});
  FakeCheckpoint bias = FakeCheckpoint::TinyLlama(true);
  bias.Add("model.layers.0.mlp.up_proj.bias", {12}, 1);
  ExpectError(bias, StatusCode::kFailedPrecondition, {"up_proj.bias"});
  FakeCheckpoint harmless = FakeCheckpoint::TinyLlama(true);
  harmless.Add("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  harmless.Add("model.layers.0.mlp.up_proj.bias", {12});  // zeros
  EXPECT_TRUE(Load(harmless).ok());
}

TEST_F(DecoderLoad, ConfigErrorsNameThePath) {
  FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  checkpoint.config_json["model_type"] = "mamba";
  ExpectError(checkpoint, StatusCode::kFailedPrecondition, {"tiny: ", "mamba"});
}

TEST_F(DecoderLoad, MaxContextIsBoundedByTheModel) {
  const FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  InlineParallel parallel;
  for (const auto& [asked, wanted] : {std::pair<int64_t, int64_t>{0, 32}, {16, 16}, {32, 32}, {33, -1}, {-1, -1}}) {
    DecoderModel::LoadOptions options;
    options.max_context = asked;
    const auto model = DecoderModel::Load(checkpoint, backend_, parallel, nullptr, options);
    EXPECT_EQ(model.ok(), wanted > 0);
    if (!model.ok()) continue;
    EXPECT_EQ((*model)->max_context(), wanted);
  }
}

TEST_F(DecoderLoad, HugeContextIsRefusedBeforeItsTablesAreMade) {
  FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  checkpoint.config_json["max_position_embeddings"] = 1 << 24;
  checkpoint.config_json["head_dim"] = 1024;
  ExpectError(checkpoint, StatusCode::kResourceExhausted, {"max_context"});
}

TEST_F(DecoderLoad, KvTypeFollowsThePrecision) {
  const FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  EXPECT_EQ((*Load(checkpoint, "fp32"))->MakeKvGeometry().dtype, DType::kF32);
  EXPECT_EQ((*Load(checkpoint, "bf16"))->MakeKvGeometry().dtype, DType::kBF16);
  EXPECT_EQ((*Load(checkpoint, "fp16"))->MakeKvGeometry().dtype, DType::kF16);
  EXPECT_EQ((*Load(checkpoint, "int8"))->MakeKvGeometry().dtype, DType::kF16);
  const KvGeometry kv = (*Load(checkpoint, "int4"))->MakeKvGeometry();
  EXPECT_EQ(
      DecoderModel::KvGeometryFor((*Load(checkpoint, "int4"))->config(), *Precision::Parse("fp32"), DType::kI8).dtype,
      DType::kI8);
  EXPECT_EQ(kv.dtype, DType::kF16);
  EXPECT_EQ(kv.num_layers, 2);
  EXPECT_EQ(kv.num_kv_heads, 1);
  EXPECT_EQ(kv.head_dim, 4);
}

TEST_F(DecoderLoad, VariantsShareEqualTensors) {
  const FakeCheckpoint checkpoint = FakeCheckpoint::TinyLlama(true);
  WeightStore store;
  const auto int8 = Load(checkpoint, "int8", &store);
  const auto int4 = Load(checkpoint, "int4", &store);
  const auto again = Load(checkpoint, "int8", &store);
  const auto fp32 = Load(checkpoint, "fp32", &store);
  ASSERT_TRUE(int8.ok() && int4.ok() && again.ok() && fp32.ok());
  EXPECT_EQ((*int8)->unique_weight_bytes(), (*int8)->weight_bytes());
  EXPECT_EQ((*int4)->unique_weight_bytes(), (*int4)->weight_bytes() - 10 * 8 * 2);  // the head
  EXPECT_EQ((*again)->unique_weight_bytes(), 5 * 8 * 4u);                           // its norms
  EXPECT_EQ((*fp32)->unique_weight_bytes(), (*fp32)->weight_bytes());
}

TEST_F(DecoderLoad, AnotherFineTuneOfEqualShapesIsNotShared) {
  WeightStore store;
  const FakeCheckpoint first = FakeCheckpoint::TinyLlama(true);
  FakeCheckpoint second = FakeCheckpoint::TinyLlama(true);
  second.Add("model.embed_tokens.weight", {10, 8}, 7);
  const auto a = Load(first, "int8", &store);
  const auto b = Load(second, "int8", &store);
  EXPECT_EQ((*b)->unique_weight_bytes(), 10 * 8 * 2 + 5 * 8 * 4u);  // its own table and norms
}

TEST_F(DecoderLoad, WorkspaceBytesBoundWhatIsAllocated) {
  const auto model = Load(FakeCheckpoint::TinyLlama(true));
  const StepWorkspace workspace = (*model)->MakeWorkspace(16);
  EXPECT_EQ(workspace.max_rows, 16);
  EXPECT_GE(DecoderModel::WorkspaceBytes((*model)->config(), 16), workspace.bytes());
  EXPECT_LE(DecoderModel::WorkspaceBytes((*model)->config(), 16), 2 * workspace.bytes());
}

}  // namespace
}  // namespace bitrate
