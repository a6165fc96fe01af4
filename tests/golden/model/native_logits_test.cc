// Precision native: quantized checkpoints multiplied in their own formats, against the reference's float32 on the
// dequantized weights. Golden README: 0.5 at most where activations are 8-bit, greedy ids equal up to a margin below
// twice the noise; what multiplies in 16 or 32 bits is held to the bound of its activations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"

namespace bitrate::golden {
namespace {

struct Case {
  const char* name;
  const char* kernel;  // of the first layer's down projection, without the ISA
  double bound;        // of a logit
};

// Heads are bf16 or f16 as their files have them: the bf16 ones round activations to bf16 (0.15).
constexpr double kInt8 = 0.5, kBf16Head = 0.15, kF16Head = 0.02;

const Case kCases[] = {
    {"gptq_b2_g32", "int4-g32-asym-w4a16", kBf16Head},
    {"gptq_b3_g32", "int4-g32-asym-w4a16", kBf16Head},
    {"gptq_b4_asym_zero0", "int4-g32-asym-w4a8", kInt8},
    {"gptq_b4_desc_act", "GPTQ-int4-g32-actorder-by-panel-w32a32", kBf16Head},
    {"gptq_b4_g128_sym", "int4-g128-w4a8", kInt8},
    {"gptq_b4_g32_asym", "int4-g32-asym-w4a8", kInt8},
    {"gptq_b8", "GPTQ-int8-g64-by-panel-w32a32", kBf16Head},
    {"gptq_v2_b4_asym", "int4-g64-asym-w4a8", kInt8},
    {"awq_gemm_g128", "int4-g128-asym-w4a8", kInt8},
    {"awq_gemm_g32", "int4-g32-asym-w4a8", kInt8},
    {"bnb_fp4", "table4-g64-w4a16", kBf16Head},
    {"bnb_int8", "int8-w8a8", kInt8},
    {"bnb_nf4", "table4-g64-w4a16", kBf16Head},
    {"bnb_nf4_double", "table4-g64-w4a16", kBf16Head},
    {"bnb_nf4_storage_bf16", "table4-g64-w4a16", kBf16Head},
    {"ct_fp8_dynamic", "FP8-E4M3-channel-by-panel-w32a32", kBf16Head},
    {"ct_fp8_static", "FP8-E4M3-tensor-by-panel-w32a32", kBf16Head},
    {"ct_mxfp4a16", "table4-g32-w4a16", kBf16Head},
    {"ct_nvfp4a16", "table4-g16-w4a16", kBf16Head},
    {"ct_w4a16_asym_g128", "int4-g128-asym-w4a8", kInt8},
    {"ct_w4a16_g128", "int4-g128-w4a8", kInt8},
    {"ct_w4a16_g32", "int4-g32-w4a8", kInt8},
    {"ct_w4a16_g_idx", "CT-int4-g32-actorder-by-panel-w32a32", kBf16Head},
    {"ct_w8a16_channel", "int8-w8a8", kInt8},
    {"ct_w8a8", "int8-w8a8-token", kInt8},
    {"gguf_q8_0", "int8-g32-w8a8", kInt8},
    {"gguf_q4_0", "int4-g32-w4a8", kInt8},
    {"gguf_q4_1", "int4-g32-min-w4a8", kInt8},
    {"gguf_q5_0", "Q5_0-by-panel-w32a32", kF16Head},
    {"gguf_q5_1", "Q5_1-by-panel-w32a32", kF16Head},
    {"gguf_q4_k", "int4-g32-min-w4a8", kInt8},
    {"gguf_q5_k", "Q5_K-by-panel-w32a32", kF16Head},
    {"gguf_q6_k", "Q6_K-by-panel-w32a32", kF16Head},
};

std::vector<double> Margins(const std::string& name) {
  std::ifstream in(std::string(BITRATE_GOLDEN_DIR) + "/quant/" + name + "/case.json");
  return nlohmann::json::parse(in).at("greedy_margins").get<std::vector<double>>();
}

class NativeLogits : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, NativeLogits, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(NativeLogits, AreTheReferencesWithinTheNoiseOfTheirActivations) {
  const Case& param = GetParam();
  const GoldenCase c = LoadCase(std::string("quant/") + param.name);
  ASSERT_NE(c.checkpoint, nullptr);
  const std::vector<double> margins = Margins(param.name);
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    Machine machine(isa, 2);
    const ModelPtr model = LoadModel(machine, *c.checkpoint, "native");
    ASSERT_NE(model, nullptr);
    const double diff = MaxAbsDiff(PromptLogits(machine, model, c.prompt_ids, 7), c.logits);
    std::printf("%s %s: max |logit error| %.3g, bits per weight %.2f\n", param.name, std::string(IsaName(isa)).c_str(),
                diff, model->weight_bits());
    EXPECT_LE(diff, param.bound);
    const std::vector<int32_t> greedy = Greedy(machine, model, c.prompt_ids, static_cast<int>(c.greedy_ids.size()));
    const auto [got, want] = std::mismatch(greedy.begin(), greedy.end(), c.greedy_ids.begin(), c.greedy_ids.end());
    if (got != greedy.end()) {
      EXPECT_LT(margins[static_cast<size_t>(got - greedy.begin())], 2 * param.bound) << "step " << got - greedy.begin();
    }
  }
}

TEST_P(NativeLogits, RunsOnTheKernelOfItsFormat) {
  const GoldenCase c = LoadCase(std::string("quant/") + GetParam().name);
  ASSERT_NE(c.checkpoint, nullptr);
  Machine machine(RunnableIsas().back(), 1);
  const auto matrix = c.checkpoint->Matrix("model.layers.0.mlp.down_proj.weight");
  ASSERT_TRUE(matrix.ok()) << matrix.status();
  LinearSpec spec;
  spec.parts = {&*matrix, 1};
  spec.precision = *Precision::Parse("native");
  ScratchArena scratch;
  ExecContext context = {&machine.parallel(), &scratch};
  const auto op = machine.backend().PrepareLinear(spec, context);
  ASSERT_TRUE(op.ok()) << op.status();
  const std::string kernel = (*op)->info().kernel;
  EXPECT_EQ(kernel.substr(0, kernel.rfind('/')), GetParam().kernel);
  EXPECT_FALSE((*op)->info().refusals.empty());
}

}  // namespace
}  // namespace bitrate::golden
