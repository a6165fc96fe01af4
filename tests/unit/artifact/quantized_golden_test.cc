// Quantized folders against what the formats' own tools make of them: weights equal to the bit.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

const std::string kGolden = BITRATE_GOLDEN_DIR;

struct Case {
  const char* name;
  const char* format;  // of the first layer's down projection
};

class QuantizedGolden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    folder_ = kGolden + "/quant/" + GetParam().name;
    auto checkpoint = Checkpoint::Open(folder_ + "/model");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *checkpoint;
  }
  std::string folder_;
  std::shared_ptr<const Checkpoint> checkpoint_;
};

TEST_P(QuantizedGolden, DequantizesToTheToolsBits) {
  const auto golden = SafetensorsFile::Open(folder_ + "/dequant.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_GE((*golden)->tensors().size(), 2u);
  for (const SafetensorsTensor& tensor : (*golden)->tensors()) {
    const auto want = *(*golden)->Floats(tensor.name);  // the first rows of it
    const auto matrix = checkpoint_->Matrix(tensor.name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    ASSERT_GE(matrix->n, tensor.shape[0]);
    ASSERT_EQ(matrix->k, tensor.shape[1]);
    std::vector<float> rows(want.size());
    DecodeRows(*matrix, 0, tensor.shape[0], rows.data());
    EXPECT_EQ(std::memcmp(rows.data(), want.data(), want.size() * sizeof(float)), 0) << tensor.name;
    std::vector<int64_t> shape;
    const auto all = checkpoint_->Decode(tensor.name, &shape);
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(shape, (std::vector<int64_t>{matrix->n, matrix->k}));
    EXPECT_EQ(std::memcmp(all->data(), want.data(), want.size() * sizeof(float)), 0) << tensor.name;
  }
}

// What is listed: the matrices that a model reads, in place of the tensors that they are made of.
TEST_P(QuantizedGolden, ListsMatricesOfItsFormat) {
  size_t coded = 0;
  for (const TensorInfo& info : checkpoint_->tensors()) {
    EXPECT_TRUE(info.is_weight) << info.name;
    if (info.coded == nullptr) continue;
    ++coded;
    EXPECT_EQ(info.type_name, GetParam().format) << info.name;
    EXPECT_GT(info.coded->bits_per_weight, 2);
    EXPECT_LT(info.coded->bits_per_weight, 10);
    EXPECT_TRUE(info.name.ends_with("_proj.weight")) << info.name;
  }
  EXPECT_EQ(coded, 2u * 7);  // two layers of seven matrices
}

TEST_P(QuantizedGolden, RepacksExactlyWhereItFits) {
  int repacked = 0;
  for (const TensorInfo& info : checkpoint_->tensors()) {
    if (info.coded == nullptr) continue;
    const auto matrix = checkpoint_->Matrix(info.name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    std::vector<float> want(static_cast<size_t>(matrix->n * matrix->k)), got(want.size());
    DecodeRows(*matrix, 0, matrix->n, want.data());
    if (FitsInt4(*matrix->coded, matrix->k)) {
      Dequantize(RepackToInt4(*matrix, 0, matrix->n), got.data());
    } else if (FitsInt8Channel(*matrix->coded, matrix->k)) {
      Dequantize(CodedToInt8(*matrix, 0, matrix->n), got.data());
    } else {
      continue;
    }
    ++repacked;
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << info.name;
  }
  const std::string format = GetParam().format;
  const bool fits = format.find("int") != std::string::npos && format != "GPTQ-int8-g64";
  if (fits && std::string(GetParam().name).find("desc_act") == std::string::npos &&
      std::string(GetParam().name).find("g_idx") == std::string::npos) {
    EXPECT_EQ(repacked, 2 * 7);
  } else {
    EXPECT_EQ(repacked, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, QuantizedGolden,
    testing::Values(Case{"gptq_b2_g32", "GPTQ-int2-g32"}, Case{"gptq_b3_g32", "GPTQ-int3-g32"},
                    Case{"gptq_b4_asym_zero0", "GPTQ-int4-g32"}, Case{"gptq_b4_desc_act", "GPTQ-int4-g32-actorder"},
                    Case{"gptq_b4_g128_sym", "GPTQ-int4-g128"}, Case{"gptq_b4_g32_asym", "GPTQ-int4-g32"},
                    Case{"gptq_b8", "GPTQ-int8-g64"}, Case{"gptq_v2_b4_asym", "GPTQ-int4-g64"},
                    Case{"awq_gemm_g128", "AWQ-int4-g128"}, Case{"awq_gemm_g32", "AWQ-int4-g32"},
                    Case{"bnb_fp4", "FP4-g64"}, Case{"bnb_int8", "LLM.int8-channel"}, Case{"bnb_nf4", "NF4-g64"},
                    Case{"bnb_nf4_double", "NF4-g64-dq"}, Case{"bnb_nf4_storage_bf16", "NF4-g64-dq"},
                    Case{"ct_fp8_dynamic", "FP8-E4M3-channel"}, Case{"ct_fp8_static", "FP8-E4M3-tensor"},
                    Case{"ct_mxfp4a16", "MXFP4"}, Case{"ct_nvfp4a16", "NVFP4"},
                    Case{"ct_w4a16_asym_g128", "CT-int4-g128"}, Case{"ct_w4a16_g128", "CT-int4-g128"},
                    Case{"ct_w4a16_g32", "CT-int4-g32"}, Case{"ct_w4a16_g_idx", "CT-int4-g32-actorder"},
                    Case{"ct_w8a16_channel", "CT-int8-channel"}, Case{"ct_w8a8", "CT-int8-channel"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bitrate
