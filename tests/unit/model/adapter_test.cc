// What Adapter::Prepare accepts and refuses, against a model of 2 layers in memory.
#include "engine/model/adapter.h"

#include <gtest/gtest.h>

#include "engine/model/model_config.h"
#include "tests/unit/model/fakes.h"

namespace bitrate {
namespace {

PeftConfig Config(const std::string& targets) {
  const auto config = PeftConfig::Parse(
      fmt::format(R"({{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": {}}})", targets));
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

LoraModule Module(const std::string& name, int64_t k, int64_t n) {
  LoraModule module;
  module.name = name;
  module.rank = 2;
  module.k = k;
  module.n = n;
  module.scale = 1;
  module.a.assign(static_cast<size_t>(2 * k), 1.0f);
  module.b.assign(static_cast<size_t>(2 * n), 1.0f);
  return module;
}

class AdapterTest : public testing::Test {
 protected:
  StatusOr<std::shared_ptr<const Adapter>> Prepare(const std::string& targets, std::vector<LoraModule> modules) {
    const auto config = ParseModelConfig(checkpoint_.config_json);
    EXPECT_TRUE(config.ok()) << config.status();
    return Adapter::Prepare(PeftAdapter{"dir", Config(targets), std::move(modules)}, *config, backend_);
  }
  void ExpectRefused(const std::string& targets, std::vector<LoraModule> modules, StatusCode code,
                     const std::string& part) {
    const Status status = Prepare(targets, std::move(modules)).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(ToStd(status.message()).find(part), std::string_view::npos) << status << "\nwanted: " << part;
  }
  FakeCheckpoint checkpoint_ = FakeCheckpoint::TinyLlama(false);
  FakeBackend backend_;
};

const std::string kLayer0 = "model.layers.0.", kLayer1 = "model.layers.1.";

TEST_F(AdapterTest, PlacesOfTheModules) {
  const auto adapter = Prepare(R"(["0.self_attn.k_proj", "0.self_attn.v_proj", "1.mlp.up_proj", "1.mlp.down_proj"])",
                               {Module(kLayer0 + "self_attn.k_proj", 8, 4), Module(kLayer0 + "self_attn.v_proj", 8, 4),
                                Module(kLayer1 + "mlp.up_proj", 8, 12), Module(kLayer1 + "mlp.down_proj", 12, 8)});
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  ASSERT_EQ((*adapter)->layers().size(), 2u);
  const AdapterLayer &first = (*adapter)->layers()[0], &second = (*adapter)->layers()[1];
  EXPECT_NE(first.qkv, nullptr);
  EXPECT_EQ(first.o, nullptr);
  EXPECT_EQ(first.gate_up, nullptr);
  EXPECT_EQ(second.qkv, nullptr);
  EXPECT_EQ(second.gate_up->n(), 24);  // up is the second half
  EXPECT_EQ(second.down->k(), 12);
  // q has 8 rows, k and v 4 each; gate has 12.
  EXPECT_EQ(backend_.low_rank_columns, (std::vector<std::vector<int64_t>>{{8, 12}, {12}, {0}}));
}

TEST_F(AdapterTest, AFusedProjectionIsOneModule) {
  checkpoint_.config_json["model_type"] = "phi3";
  const auto adapter =
      Prepare(R"(["0.self_attn.qkv_proj", "0.mlp.gate_up_proj"])",
              {Module(kLayer0 + "self_attn.qkv_proj", 8, 16), Module(kLayer0 + "mlp.gate_up_proj", 8, 24)});
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ((*adapter)->layers()[0].qkv->n(), 16);
  EXPECT_EQ((*adapter)->layers()[0].gate_up->n(), 24);
}

TEST_F(AdapterTest, ShapesMustBeTheModels) {
  ExpectRefused(
      R"(["0.self_attn.q_proj"])", {Module(kLayer0 + "self_attn.q_proj", 9, 8)}, StatusCode::kInvalidArgument,
      "adapter dir: module model.layers.0.self_attn.q_proj: got lora_A [2, 9] and lora_B [8, 2], wanted [2, 8] "
      "and [8, 2]");
  ExpectRefused(R"(["0.self_attn.q_proj"])", {Module(kLayer0 + "self_attn.q_proj", 8, 4)}, StatusCode::kInvalidArgument,
                "lora_B [4, 2]");
}

TEST_F(AdapterTest, ModulesMustBeTheModels) {
  ExpectRefused(R"(["x_proj"])", {Module(kLayer0 + "self_attn.x_proj", 8, 8)}, StatusCode::kInvalidArgument,
                "module model.layers.0.self_attn.x_proj: the model (llama, 2 layers) has no such linear layer");
  ExpectRefused(R"(["2.self_attn.q_proj"])", {Module("model.layers.2.self_attn.q_proj", 8, 8)},
                StatusCode::kInvalidArgument, "model.layers.2.self_attn.q_proj");
  ExpectRefused(R"(["lm_head"])", {Module("lm_head", 8, 10)}, StatusCode::kFailedPrecondition, "lm_head");
}

TEST_F(AdapterTest, WhatTheConfigTargetsMustBeThere) {
  ExpectRefused(R"(["q_proj"])", {Module(kLayer0 + "self_attn.q_proj", 8, 8)}, StatusCode::kInvalidArgument,
                "module model.layers.1.self_attn.q_proj: the adapter's config targets it");
}

TEST_F(AdapterTest, ExpertsAreRefusedByName) {
  nlohmann::json& config = checkpoint_.config_json;
  config["model_type"] = "mixtral";
  config["num_local_experts"] = 2;
  config["num_experts_per_tok"] = 1;
  ExpectRefused(R"(["w1"])", {Module(kLayer0 + "block_sparse_moe.experts.0.w1", 8, 12)},
                StatusCode::kFailedPrecondition, "adapters of experts and of their router are not supported");
}

}  // namespace
}  // namespace bitrate
