// What is written is what the formats' own tools wrote, byte for byte; and conversions between the formats keep every
// code, scale and zero.
#include "engine/artifact/quantized_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

using testing::HasSubstr;

const std::string kGolden = BITRATE_GOLDEN_DIR;

std::shared_ptr<const Checkpoint> Open(const std::string& name) {
  auto checkpoint = Checkpoint::Open(kGolden + "/quant/" + name + "/model");
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *checkpoint;
}

std::vector<std::string> CodedNames(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.tensors()) {
    if (info.coded != nullptr) names.push_back(info.name);
  }
  EXPECT_EQ(names.size(), 14u);
  return names;
}

struct Case {
  const char* name;
  QuantizedFormat format;
};

class WritesTheToolsBytes : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Cases, WritesTheToolsBytes,
                         testing::Values(Case{"gptq_v2_b4_asym", QuantizedFormat::kGptqV2},
                                         Case{"awq_gemm_g32", QuantizedFormat::kAwqGemm},
                                         Case{"awq_gemm_g128", QuantizedFormat::kAwqGemm},
                                         Case{"ct_w4a16_g32", QuantizedFormat::kPackQuantized},
                                         Case{"ct_w4a16_asym_g128", QuantizedFormat::kPackQuantized},
                                         Case{"ct_w4a16_g_idx", QuantizedFormat::kPackQuantized},
                                         Case{"ct_w8a16_channel", QuantizedFormat::kPackQuantized}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(WritesTheToolsBytes, OfEveryTensor) {
  const auto checkpoint = Open(GetParam().name);
  const auto file = *SafetensorsFile::Open(kGolden + "/quant/" + GetParam().name + "/model/model.safetensors");
  for (const std::string& name : CodedNames(*checkpoint)) {
    const auto matrix = checkpoint->Matrix(name);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    const auto tensors = EncodeQuantized(GetParam().format, *matrix);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    size_t in_file = 0;
    for (const SafetensorsTensor& t : file->tensors()) {
      in_file += t.name.starts_with(name.substr(0, name.size() - 6)) ? 1 : 0;
    }
    EXPECT_EQ(tensors->size(), in_file) << name;
    for (const EncodedTensor& tensor : *tensors) {
      const SafetensorsTensor* want = file->Find(tensor.name);
      ASSERT_NE(want, nullptr) << tensor.name;
      EXPECT_EQ(tensor.dtype, want->dtype) << tensor.name;
      EXPECT_EQ(tensor.shape, want->shape) << tensor.name;
      const auto bytes = file->Bytes(*want);
      ASSERT_EQ(tensor.bytes.size(), bytes.size()) << tensor.name;
      EXPECT_EQ(std::memcmp(tensor.bytes.data(), bytes.data(), bytes.size()), 0) << tensor.name;
    }
  }
}

// `matrix` written in `format` and read back.
StatusOr<WeightMatrix> Through(QuantizedFormat format, const WeightMatrix& matrix) {
  ASSIGN_OR_RETURN(const std::vector<EncodedTensor> tensors, EncodeQuantized(format, matrix));
  StoredTensors stored;
  for (const EncodedTensor& t : tensors) {
    const std::string dtype(SafetensorsDTypeName(t.dtype));
    stored.Add({t.name, dtype, t.dtype, t.shape, t.bytes, nullptr});
  }
  ASSIGN_OR_RETURN(const auto read, CollectQuantized(MakeQuantizationConfig(format, *matrix.coded), stored));
  EXPECT_EQ(read.size(), 1u);
  EXPECT_EQ(read.front().parts.size(), tensors.size());
  return read.front().make();
}

void ExpectSame(const WeightMatrix& got, const WeightMatrix& want) {
  ASSERT_EQ(got.n, want.n);
  ASSERT_EQ(got.k, want.k);
  EXPECT_EQ(got.coded->group_size, want.coded->group_size);
  for (int64_t row = 0; row < want.n; ++row) {
    const auto parts = [row](const WeightMatrix& m) {
      return RowParts(*m.coded, m.k, const_cast<std::byte*>(m.data.data()) + row * m.row_bytes());
    };
    const CodedRow a = parts(got), b = parts(want);
    ASSERT_EQ(std::memcmp(a.codes, b.codes, static_cast<size_t>(want.coded->CodeBytes(want.k))), 0);
    for (int64_t g = 0; g < want.coded->NumGroups(want.k); ++g) {
      ASSERT_EQ(a.scale[g], b.scale[g]);
      ASSERT_EQ(got.coded->zero_per_group ? a.zero[g] : got.coded->zero,
                want.coded->zero_per_group ? b.zero[g] : want.coded->zero);
    }
  }
}

TEST(QuantizedWriter, ConversionsKeepCodesScalesAndZeros) {
  for (const char* name : {"awq_gemm_g32", "awq_gemm_g128", "gptq_v2_b4_asym", "gptq_b4_asym_zero0"}) {
    SCOPED_TRACE(name);
    const auto checkpoint = Open(name);
    for (const std::string& tensor : CodedNames(*checkpoint)) {
      const WeightMatrix first = *checkpoint->Matrix(tensor);
      const auto gptq = Through(QuantizedFormat::kGptqV2, first);
      ASSERT_TRUE(gptq.ok()) << gptq.status();
      const auto packed = Through(QuantizedFormat::kPackQuantized, *gptq);
      ASSERT_TRUE(packed.ok()) << packed.status();
      const auto awq = Through(QuantizedFormat::kAwqGemm, *packed);
      ASSERT_TRUE(awq.ok()) << awq.status();
      ExpectSame(*gptq, first);
      ExpectSame(*packed, first);
      ExpectSame(*awq, first);
    }
  }
}

TEST(QuantizedWriter, OtherWidthsAndOrdersGoThroughGptq) {
  for (const char* name : {"gptq_b2_g32", "gptq_b3_g32", "gptq_b8", "gptq_b4_desc_act"}) {
    SCOPED_TRACE(name);
    const auto checkpoint = Open(name);
    for (const std::string& tensor : CodedNames(*checkpoint)) {
      const WeightMatrix first = *checkpoint->Matrix(tensor);
      const auto again = Through(QuantizedFormat::kGptqV2, first);
      ASSERT_TRUE(again.ok()) << again.status();
      ExpectSame(*again, first);
      EXPECT_EQ(again->coded->group_of, first.coded->group_of);
    }
  }
}

TEST(QuantizedWriter, WhatAFormatCannotHoldIsRefused) {
  const auto expect = [](const char* name, QuantizedFormat format, const char* text) {
    const auto checkpoint = Open(name);
    const auto tensors = EncodeQuantized(format, *checkpoint->Matrix("model.layers.0.mlp.down_proj.weight"));
    ASSERT_FALSE(tensors.ok());
    EXPECT_EQ(tensors.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(tensors.status().message()), HasSubstr(text));
    EXPECT_THAT(std::string(tensors.status().message()), HasSubstr("model.layers.0.mlp.down_proj"));
  };
  expect("bnb_nf4", QuantizedFormat::kGptqV2, "no codes on an affine grid");
  expect("gptq_b8", QuantizedFormat::kAwqGemm, "4-bit codes");
  expect("gptq_b4_desc_act", QuantizedFormat::kAwqGemm, "in order");
  expect("gptq_b3_g32", QuantizedFormat::kPackQuantized, "4 or 8 bits");
  expect("bnb_int8", QuantizedFormat::kGptqV2, "fp16 does not hold");
  const auto plain = Open("gptq_b8");
  EXPECT_FALSE(EncodeQuantized(QuantizedFormat::kGptqV2, *plain->Matrix("model.embed_tokens.weight")).ok());
}

}  // namespace
}  // namespace bitrate
