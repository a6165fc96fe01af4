// Tensors that a model does not read: refused by name, unless they change nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/artifact/safetensors_file.h"
#include "engine/artifact/safetensors_writer.h"
#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"

namespace bitrate::golden {
namespace {

const std::string kModel = std::string(BITRATE_GOLDEN_DIR) + "/quant/gptq_b4_g32_asym/model";

// A GPTQ folder with one more tensor, [128] f32.
class UnusedTensors : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "bitrate_test_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    std::filesystem::copy(kModel + "/config.json", folder_ + "/config.json");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Status LoadWith(const std::string& extra, const std::vector<float>& values) {
    const auto file = *SafetensorsFile::Open(kModel + "/model.safetensors");
    std::vector<NamedTensor> tensors;
    for (const SafetensorsTensor& t : file->tensors()) tensors.push_back({t.name, *t.dtype, t.shape, file->Bytes(t)});
    tensors.push_back(
        {extra, DType::kF32, {static_cast<int64_t>(values.size())}, std::as_bytes(std::span<const float>(values))});
    EXPECT_TRUE(WriteSafetensors(folder_ + "/model.safetensors", tensors).ok());
    const auto checkpoint = Checkpoint::Open(folder_);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    Machine machine(RunnableIsas().back(), 1);
    DecoderModel::LoadOptions options;
    options.precision = *Precision::Parse("native");
    return DecoderModel::Load(**checkpoint, machine.backend(), machine.parallel(), nullptr, options).status();
  }
  std::string folder_;
};

TEST_F(UnusedTensors, ABiasOfZerosIsHarmless) {
  std::vector<float> values(128, 0.0f);
  EXPECT_EQ(LoadWith("model.layers.1.self_attn.q_proj.bias", values), OkStatus());
  values[77] = 1e-30f;
  const Status status = LoadWith("model.layers.1.self_attn.q_proj.bias", values);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("model.layers.1.self_attn.q_proj.bias"));
}

TEST_F(UnusedTensors, AnythingElseIsRefusedByName) {
  for (const char* name : {"model.layers.0.self_attn.q_norm.weight", "model.layers.0.mlp.gate.weight",
                           "model.layers.0.self_attn.q_proj.lora.scales"}) {
    const Status status = LoadWith(name, std::vector<float>(128, 0.0f));
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << name;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(name));
  }
}

}  // namespace
}  // namespace bitrate::golden
