// Logits and greedy tokens of small checkpoints against the reference implementation's, in float32, on every ISA that
// this CPU runs; and the promise that chunks, batch-mates and workers change no bit, at every precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"

namespace bitrate::golden {
namespace {

const char* const kCases[] = {"arch/llama_tied",
                              "arch/llama_attn_bias",
                              "arch/llama_llama3rope_sharded",
                              "arch/llama_rope_linear",
                              "arch/llama_rope_yarn",
                              "arch/mistral_swa",
                              "arch/qwen2",
                              "arch/qwen3",
                              "arch/granite",
                              "arch/olmo2",
                              "arch/gemma2",
                              "arch/gemma3_text",
                              "arch/phi3",
                              "arch/phi3_longrope",
                              "arch/mixtral",
                              "arch/qwen3_moe",
                              "quant/gguf_f16",
                              "quant/gguf_bf16",
                              "quant/gguf_q8_0",
                              "quant/gguf_q4_0",
                              "quant/gguf_q4_1",
                              "quant/gguf_q5_0",
                              "quant/gguf_q5_1",
                              "quant/gguf_q4_k",
                              "quant/gguf_q5_k",
                              "quant/gguf_q6_k",
                              "quant/gguf_q2_k",
                              "quant/gguf_q3_k",
                              "quant/gguf_iq4_nl",
                              "quant/gguf_iq4_xs",
                              "quant/gguf_mix_q4_k_m",
                              "quant/gguf_qwen2_f16",
                              "quant/gguf_qwen3_q8_0",
                              "quant/gguf_gemma3_f16",
                              "gguf_arch/mixtral",
                              "gguf_arch/qwen3_moe",
                              "gguf_arch/gemma2",
                              "gguf_arch/phi3",
                              "gguf_arch/phi3_longrope",
                              "gguf_arch/olmo2",
                              "gguf_arch/granite",
                              "quant/gptq_b2_g32",
                              "quant/gptq_b3_g32",
                              "quant/gptq_b4_asym_zero0",
                              "quant/gptq_b4_desc_act",
                              "quant/gptq_b4_g128_sym",
                              "quant/gptq_b4_g32_asym",
                              "quant/gptq_b8",
                              "quant/gptq_v2_b4_asym",
                              "quant/awq_gemm_g128",
                              "quant/awq_gemm_g32",
                              "quant/bnb_fp4",
                              "quant/bnb_int8",
                              "quant/bnb_nf4",
                              "quant/bnb_nf4_double",
                              "quant/bnb_nf4_storage_bf16",
                              "quant/ct_fp8_dynamic",
                              "quant/ct_fp8_static",
                              "quant/ct_mxfp4a16",
                              "quant/ct_nvfp4a16",
                              "quant/ct_w4a16_asym_g128",
                              "quant/ct_w4a16_g128",
                              "quant/ct_w4a16_g32",
                              "quant/ct_w4a16_g_idx",
                              "quant/ct_w8a16_channel",
                              "quant/ct_w8a8"};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::string TestName(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

class ArchLogits : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, ArchLogits, testing::ValuesIn(kCases), TestName);

TEST_P(ArchLogits, Float32MatchesTheReference) {
  const GoldenCase c = LoadCase(GetParam());
  ASSERT_NE(c.checkpoint, nullptr);
  const auto length = static_cast<int64_t>(c.prompt_ids.size());
  // 1e-4 of the logits' spread: four times what float32 itself differs from float64 on these models.
  const double bound = std::min(1e-4 * c.logit_std, 1e-3);
  for (const Isa isa : RunnableIsas()) {
    std::vector<float> one_worker;
    for (const int workers : {1, 2}) {
      SCOPED_TRACE(testing::Message() << IsaName(isa) << ", " << workers << " workers");
      Machine machine(isa, workers);
      const ModelPtr model = LoadModel(machine, *c.checkpoint, "fp32");
      ASSERT_NE(model, nullptr);
      const std::vector<float> logits = PromptLogits(machine, model, c.prompt_ids, length);
      const double diff = MaxAbsDiff(logits, c.logits);
      if (workers == 1) {
        one_worker = logits;
        std::printf("%s %s: max |logit error| %.2e, %.1e of the spread\n", GetParam(),
                    std::string(IsaName(isa)).c_str(), diff, diff / c.logit_std);
      }
      EXPECT_LE(diff, bound);
      EXPECT_TRUE(SameBits(logits, one_worker));
      EXPECT_EQ(Greedy(machine, model, c.prompt_ids, static_cast<int>(c.greedy_ids.size())), c.greedy_ids);
    }
  }
}

// A prompt within the original context has the short factors at all its positions; the case itself is longer and has
// the long ones from its first position on.
TEST(LongRope, AShortPromptHasTheShortFactors) {
  const GoldenCase c = LoadCase("arch/phi3_longrope");
  ASSERT_NE(c.checkpoint, nullptr);
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    Machine machine(isa, 1);
    const ModelPtr model = LoadModel(machine, *c.checkpoint, "fp32");
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->rope_switch(), 16);
    const std::span<const int32_t> first12(c.prompt_ids.data(), 12);
    for (const int64_t chunk : {12, 5}) {
      const double diff = MaxAbsDiff(PromptLogits(machine, model, first12, chunk), c.logits_first12);
      EXPECT_LE(diff, 1e-4 * c.logit_std) << "chunk " << chunk;
    }
  }
}

class SameBitsTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Precisions, SameBitsTest,
                         testing::Values("fp32", "bf16", "fp16", "int8", "int8-token", "int8-w8a16", "int4",
                                         "int4-g32-asym", "int4-g64-sym", "int4-w4a16", "nf4", "native"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(SameBitsTest, ChunksAndWorkersChangeNothing) {
  for (const char* name : {"arch/llama_tied", "arch/gemma3_text", "arch/phi3_longrope", "arch/qwen3_moe",
                           "quant/gguf_q4_1", "quant/gptq_b4_desc_act", "quant/bnb_nf4_double", "quant/ct_w8a8"}) {
    const GoldenCase c = LoadCase(name);
    ASSERT_NE(c.checkpoint, nullptr);
    const auto length = static_cast<int64_t>(c.prompt_ids.size());
    for (const Isa isa : RunnableIsas()) {
      SCOPED_TRACE(testing::Message() << name << " " << IsaName(isa));
      Machine machine(isa, 1), pair(isa, 2);
      const ModelPtr model = LoadModel(machine, *c.checkpoint, GetParam());
      ASSERT_NE(model, nullptr);
      const std::vector<float> whole = PromptLogits(machine, model, c.prompt_ids, length);
      for (const int64_t chunk : {1, 5, 16}) {
        EXPECT_TRUE(SameBits(PromptLogits(machine, model, c.prompt_ids, chunk), whole)) << "chunk " << chunk;
      }
      const ModelPtr other = LoadModel(pair, *c.checkpoint, GetParam());
      EXPECT_TRUE(SameBits(PromptLogits(pair, other, c.prompt_ids, length), whole));
    }
  }
}

// Two sequences of different lengths in one step, the first in its middle: the rows of each as if it were alone.
TEST_P(SameBitsTest, BatchMatesChangeNothing) {
  const GoldenCase c = LoadCase("arch/llama_tied");
  ASSERT_NE(c.checkpoint, nullptr);
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    Machine machine(isa, 2);
    const ModelPtr model = LoadModel(machine, *c.checkpoint, GetParam());
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> reversed(c.prompt_ids.rbegin(), c.prompt_ids.rend());
    const std::vector<float> a = PromptLogits(machine, model, c.prompt_ids, 64);
    const std::vector<float> b = PromptLogits(machine, model, reversed, 64);
    const auto vocab = static_cast<size_t>(model->config().vocab_size);

    const KvGeometry kv = model->MakeKvGeometry();
    std::vector<std::byte> cache(kv.BlockBytes() * 4);
    StepWorkspace workspace = model->MakeWorkspace(64);
    StepInput input;
    input.max_blocks = 2;
    input.block_tables = {2, 0, 3, 1};
    const auto step = [&](int a_begin, int a_end, int b_begin, int b_end) {
      input.token_ids.clear();
      input.positions.clear();
      for (int i = a_begin; i < a_end; ++i) {
        input.token_ids.push_back(c.prompt_ids[static_cast<size_t>(i)]);
        input.positions.push_back(i);
      }
      for (int i = b_begin; i < b_end; ++i) {
        input.token_ids.push_back(reversed[static_cast<size_t>(i)]);
        input.positions.push_back(i);
      }
      input.query_start = {0, a_end - a_begin, a_end - a_begin + b_end - b_begin};
      model->Forward(machine.parallel(), input, cache.data(), workspace);
      std::vector<int32_t> rows;
      for (int i = 0; i < input.num_rows(); ++i) rows.push_back(i);
      std::vector<float> logits(rows.size() * vocab);
      model->Logits(machine.parallel(), rows, workspace, logits.data());
      for (size_t r = 0; r < rows.size(); ++r) {
        const bool first = r < static_cast<size_t>(a_end - a_begin);
        const auto position = static_cast<size_t>(input.positions[r]);
        const float* wanted = (first ? a : b).data() + position * vocab;
        EXPECT_EQ(std::memcmp(&logits[r * vocab], wanted, vocab * sizeof(float)), 0) << first << " " << position;
      }
    };
    step(0, 9, 0, 0);
    step(9, 10, 0, 17);
    step(10, 24, 17, 18);
    step(0, 0, 18, 24);
  }
}

}  // namespace
}  // namespace bitrate::golden
