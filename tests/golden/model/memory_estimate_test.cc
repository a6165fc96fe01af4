// The estimate from headers against what the CPU backend really holds.
#include "engine/model/memory_estimate.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"
#include "tests/golden/model/smollm2_data.h"

namespace bitrate::golden {
namespace {

const char* const kPrecisions[] = {"fp32",         "bf16",           "fp16",       "int8",         "int8-token",
                                   "int8-w8a16",   "int4",           "int4-w4a16", "int4-g32-min", "int4-g64-asym",
                                   "int4-g64-sym", "int4-g128-asym", "nf4",        "native"};

TEST(MemoryEstimate, IsACloseUpperBoundOnTheRealModel) {
  const auto checkpoint = OpenSmolLm2();
  ASSERT_NE(checkpoint, nullptr);
  Machine machine(*SelectIsa(), 2);
  for (const char* precision : kPrecisions) {
    const ModelPtr model = LoadModel(machine, *checkpoint, precision);
    ASSERT_NE(model, nullptr);
    const uint64_t estimate = EstimateWeightBytes(*checkpoint, model->config(), model->precision());
    const double ratio = static_cast<double>(estimate) / static_cast<double>(model->weight_bytes());
    std::printf("%-15s %6.1f MB, estimate / real %.4f\n", precision, model->weight_bytes() / 1e6, ratio);
    EXPECT_GE(ratio, 1.0) << precision;
    EXPECT_LE(ratio, 1.03) << precision;
  }
}

TEST(MemoryEstimate, IsAnUpperBoundOnSmallModels) {
  Machine machine(*SelectIsa(), 1);
  for (const char* name : {"arch/llama_tied", "arch/llama_attn_bias", "quant/gguf_q4_k", "quant/gguf_mix_q4_k_m",
                           "quant/gguf_q8_0", "quant/gguf_q5_1", "quant/gptq_b4_g32_asym", "quant/gptq_b4_desc_act",
                           "quant/gptq_b8", "quant/awq_gemm_g128", "quant/bnb_nf4_double", "quant/bnb_int8",
                           "quant/ct_fp8_static", "quant/ct_nvfp4a16", "quant/ct_w4a16_g128", "quant/ct_w8a8"}) {
    const GoldenCase c = LoadCase(name);
    ASSERT_NE(c.checkpoint, nullptr);
    for (const char* precision : kPrecisions) {
      const ModelPtr model = LoadModel(machine, *c.checkpoint, precision);
      ASSERT_NE(model, nullptr);
      EXPECT_GE(EstimateWeightBytes(*c.checkpoint, model->config(), model->precision()), model->weight_bytes())
          << name << " " << precision;
    }
  }
}

}  // namespace
}  // namespace bitrate::golden
