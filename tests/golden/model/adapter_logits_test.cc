// LoRA adapters against PEFT's own un-merged results (golden C): logits and greedy tokens in float32 on every ISA that
// this CPU runs; and that batch-mates with other adapters change no bit, at every precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/artifact/peft_adapter.h"
#include "engine/artifact/safetensors_file.h"
#include "engine/model/adapter.h"
#include "tests/golden/model/golden_case.h"
#include "tests/golden/model/harness.h"

namespace bitrate::golden {
namespace {

using AdapterPtr = std::shared_ptr<const Adapter>;

AdapterPtr LoadAdapter(const std::string& name, const ModelConfig& config, const Backend& backend) {
  const auto source = ReadPeftAdapter(BITRATE_GOLDEN_DIR "/lora/" + name + "/adapter");
  EXPECT_TRUE(source.ok()) << source.status();
  if (!source.ok()) return nullptr;
  const auto adapter = Adapter::Prepare(*source, config, backend);
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  return adapter.ok() ? *adapter : nullptr;
}

class AdapterLogits : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, AdapterLogits,
                         testing::Values("fp32_all", "fp32_qv_alpha_pattern", "fp32_rslora", "fp32_layers_to_transform",
                                         "fp32_lora_bias", "nf4_all", "nf4_rslora"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(AdapterLogits, Float32MatchesPeft) {
  const std::string name = GetParam();
  const GoldenCase c = LoadCase("lora/" + name);
  ASSERT_NE(c.checkpoint, nullptr);
  const auto file = SafetensorsFile::Open(BITRATE_GOLDEN_DIR "/lora/" + name + "/logits.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto base = (*file)->Floats("logits_base");
  ASSERT_TRUE(base.ok()) << base.status();
  const double bound = 1e-4 * c.logit_std;
  for (const Isa isa : RunnableIsas()) {
    for (const int workers : {1, 2}) {
      SCOPED_TRACE(testing::Message() << IsaName(isa) << ", " << workers << " workers");
      Machine machine(isa, workers);
      const ModelPtr model = LoadModel(machine, *c.checkpoint, "fp32");
      ASSERT_NE(model, nullptr);
      const AdapterPtr adapter = LoadAdapter(name, model->config(), machine.backend());
      ASSERT_NE(adapter, nullptr);
      for (const int64_t chunk : {int64_t{5}, static_cast<int64_t>(c.prompt_ids.size())}) {
        const double diff = MaxAbsDiff(PromptLogits(machine, model, c.prompt_ids, chunk, adapter.get()), c.logits);
        EXPECT_LE(diff, bound);
        if (chunk != 5 && workers == 1) {
          std::printf("%s %s: max |logit error| %.2e, %.1e of the spread\n", name.c_str(),
                      std::string(IsaName(isa)).c_str(), diff, diff / c.logit_std);
        }
      }
      EXPECT_LE(MaxAbsDiff(PromptLogits(machine, model, c.prompt_ids, 64), *base), bound);
      const int count = static_cast<int>(c.greedy_ids.size());
      EXPECT_EQ(Greedy(machine, model, c.prompt_ids, count, adapter.get()), c.greedy_ids);
    }
  }
}

TEST(AdapterIdentity, FollowsTheContent) {
  const GoldenCase c = LoadCase("lora/fp32_all");
  ASSERT_NE(c.checkpoint, nullptr);
  Machine machine(Isa::kScalar, 1);
  const auto config = ParseModelConfig(c.checkpoint->config());
  ASSERT_TRUE(config.ok()) << config.status();
  const AdapterPtr one = LoadAdapter("fp32_all", *config, machine.backend());
  const AdapterPtr again = LoadAdapter("fp32_all", *config, machine.backend());
  const AdapterPtr other = LoadAdapter("fp32_rslora", *config, machine.backend());
  EXPECT_EQ(one->id(), again->id());
  EXPECT_NE(one->id(), other->id());
  EXPECT_EQ(one->num_modules(), 14);
  EXPECT_EQ(one->max_rank(), 8);
  EXPECT_EQ(one->bytes(), 118'784u);  // the data of the file
}

class MixedBatch : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Precisions, MixedBatch, testing::Values("fp32", "bf16", "fp16", "int8", "int4"),
                         [](const auto& info) { return std::string(info.param); });

// 16 sequences over 4 adapters and none, each with its own prompt, in one prefill step and some decode steps: every row
// as if it were alone.
TEST_P(MixedBatch, EveryRowAsIfItWereAlone) {
  constexpr int kSequences = 16, kPrompt = 7, kDecodes = 4, kLength = kPrompt + kDecodes;
  const GoldenCase c = LoadCase("lora/fp32_all");
  ASSERT_NE(c.checkpoint, nullptr);
  for (const Isa isa : RunnableIsas()) {
    SCOPED_TRACE(IsaName(isa));
    Machine machine(isa, 2), alone(isa, 1);
    const ModelPtr model = LoadModel(machine, *c.checkpoint, GetParam());
    ASSERT_NE(model, nullptr);
    std::vector<AdapterPtr> adapters = {nullptr};
    for (const char* name : {"fp32_all", "fp32_qv_alpha_pattern", "fp32_rslora", "fp32_lora_bias"}) {
      adapters.push_back(LoadAdapter(name, model->config(), machine.backend()));
      ASSERT_NE(adapters.back(), nullptr);
    }
    const auto vocab = static_cast<size_t>(model->config().vocab_size);
    const auto token = [](int sequence, int position) { return 3 + (sequence * 37 + position * position * 11) % 500; };
    const auto adapter_of = [&](int sequence) { return adapters[static_cast<size_t>(sequence * 3 % 5)].get(); };

    const KvGeometry kv = model->MakeKvGeometry();
    ASSERT_GE(kv.block_tokens, kLength);
    std::vector<std::byte> cache(kv.BlockBytes() * kSequences);
    StepWorkspace workspace = model->MakeWorkspace(kSequences * kPrompt);
    StepInput input;
    input.max_blocks = 1;
    for (int b = 0; b < kSequences; ++b) {
      input.block_tables.push_back(kSequences - 1 - b);
      input.adapters.push_back(adapter_of(b));
    }
    std::vector<std::vector<float>> together(kSequences);
    const auto step = [&](int begin, int end) {
      input.token_ids.clear();
      input.positions.clear();
      input.query_start = {0};
      for (int b = 0; b < kSequences; ++b) {
        for (int p = begin; p < end; ++p) {
          input.token_ids.push_back(token(b, p));
          input.positions.push_back(p);
        }
        input.query_start.push_back(input.num_rows());
      }
      model->Forward(machine.parallel(), input, cache.data(), workspace);
      std::vector<int32_t> rows;
      for (int r = 0; r < input.num_rows(); ++r) rows.push_back(r);
      std::vector<float> logits(rows.size() * vocab);
      model->Logits(machine.parallel(), rows, workspace, logits.data());
      const size_t each = static_cast<size_t>(end - begin) * vocab;
      for (size_t b = 0; b < kSequences; ++b) {
        together[b].insert(together[b].end(), logits.begin() + static_cast<std::ptrdiff_t>(b * each),
                           logits.begin() + static_cast<std::ptrdiff_t>((b + 1) * each));
      }
    };
    step(0, kPrompt);
    for (int p = kPrompt; p < kLength; ++p) step(p, p + 1);

    const ModelPtr single = LoadModel(alone, *c.checkpoint, GetParam());
    for (int b = 0; b < kSequences; ++b) {
      std::vector<int32_t> ids;
      for (int p = 0; p < kLength; ++p) ids.push_back(token(b, p));
      const std::vector<float> wanted = PromptLogits(alone, single, ids, kLength, adapter_of(b));
      ASSERT_EQ(wanted.size(), together[static_cast<size_t>(b)].size());
      EXPECT_EQ(std::memcmp(wanted.data(), together[static_cast<size_t>(b)].data(), wanted.size() * sizeof(float)), 0)
          << "sequence " << b;
    }
  }
}

}  // namespace
}  // namespace bitrate::golden
