// logits, score and inspect against the reference implementation's results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/artifact/safetensors_file.h"
#include "tests/golden/cli/command_runner.h"

namespace bitrate::golden {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kSmolLm2 = std::string(BITRATE_MODEL_DIR) + "/SmolLM2-135M-Instruct.Q4_1.gguf";

class ModelCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/bitrate_cli_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  CommandResult Logits(const std::string& model, const std::string& precision, const std::string& input) {
    ModelFlags flags{model, precision, "", 2};
    return RunCommand(input, [&](CliStreams streams) { return RunLogits(flags, folder_, streams); });
  }
  CommandResult Score(const std::string& model, const std::string& input, const std::string& precision = "fp32") {
    ModelFlags flags{model, precision, "", 2};
    return RunCommand(input, [&](CliStreams streams) { return RunScore(flags, streams); });
  }
  CommandResult Inspect(const InspectFlags& flags) {
    return RunCommand("", [&](CliStreams streams) { return RunInspect(flags, streams); });
  }
  std::string folder_;
};

TEST_F(ModelCommands, LogitsAreTheReferences) {
  const std::string folder = GoldenPath("arch/llama_tied");
  const json c = json::parse(ReadFile(folder + "/case.json"));
  auto first_half = c["prompt_ids"].get<std::vector<int32_t>>();
  first_half.resize(first_half.size() / 2);
  const std::string input = json{{"ids", c["prompt_ids"]}}.dump() + "\n" + json{{"ids", first_half}}.dump() + "\n";
  const CommandResult result = Logits(folder + "/model", "fp32", input);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  ASSERT_EQ(result.lines.size(), 2u);
  EXPECT_EQ(result.lines[0]["shape"], json({24, 512}));
  EXPECT_THAT(result.lines[1]["file"].get<std::string>(), testing::EndsWith("000001.safetensors"));
  const auto wanted = *(*SafetensorsFile::Open(folder + "/logits.safetensors"))->Floats("logits");
  for (const char* name : {"/000000.safetensors", "/000001.safetensors"}) {
    const auto file = SafetensorsFile::Open(folder_ + name);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto logits = *(*file)->Floats("logits");
    ASSERT_LE(logits.size(), wanted.size());
    for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], wanted[i], 2e-4) << i;
  }
}

TEST_F(ModelCommands, LogitsWithAnAdapterArePefts) {
  const std::string folder = GoldenPath("lora/fp32_all");
  const json c = json::parse(ReadFile(folder + "/case.json"));
  ModelFlags flags{GoldenPath("lora/base_fp32"), "fp32", folder + "/adapter", 2};
  const std::string input = json{{"ids", c["prompt_ids"]}}.dump() + "\n";
  const auto run = [&] {
    return RunCommand(input, [&](CliStreams streams) { return RunLogits(flags, folder_, streams); });
  };
  const CommandResult result = run();
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const auto wanted = *(*SafetensorsFile::Open(folder + "/logits.safetensors"))->Floats("logits");
  const auto logits = *(*SafetensorsFile::Open(folder_ + "/000000.safetensors"))->Floats("logits");
  ASSERT_EQ(logits.size(), wanted.size());
  for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], wanted[i], 2e-4) << i;
  flags.adapter = GoldenPath("lora/fp32_dora/adapter");
  EXPECT_THAT(run().error, HasSubstr("use_dora"));
}

// A prompt that is longer than the original context has the long factors at all positions, a shorter one the short
// ones.
TEST_F(ModelCommands, LogitsOfLongropeFollowTheLengthOfThePrompt) {
  const std::string folder = GoldenPath("arch/phi3_longrope");
  const json c = json::parse(ReadFile(folder + "/case.json"));
  auto first12 = c["prompt_ids"].get<std::vector<int32_t>>();
  first12.resize(12);
  const std::string input = json{{"ids", c["prompt_ids"]}}.dump() + "\n" + json{{"ids", first12}}.dump() + "\n";
  const CommandResult result = Logits(folder + "/model", "fp32", input);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const auto golden = SafetensorsFile::Open(folder + "/logits.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const std::pair<const char*, const char*> files[] = {{"/000000.safetensors", "logits"},
                                                       {"/000001.safetensors", "logits_first12"}};
  for (const auto& [name, key] : files) {
    const auto wanted = *(*golden)->Floats(key);
    const auto file = SafetensorsFile::Open(folder_ + name);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto logits = *(*file)->Floats("logits");
    ASSERT_EQ(logits.size(), wanted.size());
    for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], wanted[i], 2e-4) << key << " " << i;
  }
}

TEST_F(ModelCommands, LogitsErrors) {
  const std::string model = GoldenPath("arch/llama_tied/model");
  const CommandResult id = Logits(model, "fp32", "{\"ids\": [1]}\n{\"ids\": [512]}\n");
  EXPECT_EQ(id.exit_code, 2);
  EXPECT_THAT(id.error, HasSubstr("line 2: ids: got token id 512"));
  EXPECT_EQ(Logits(model, "fp32", "{\"ids\": []}").exit_code, 2);
  EXPECT_EQ(Logits(model, "fp32", json{{"ids", std::vector<int>(257, 1)}}.dump()).exit_code, 2);
  const CommandResult precision = Logits(model, "int5", "");
  EXPECT_EQ(precision.exit_code, 2);
  EXPECT_THAT(precision.error, HasSubstr("int5"));
  EXPECT_EQ(Logits(GoldenPath("arch"), "fp32", "").exit_code, 2);
}

TEST_F(ModelCommands, ScoreAnswersLmEvalRequests) {
  const json golden = json::parse(ReadFile(GoldenPath("smollm2/loglikelihood.json")));
  std::string text, ids;
  for (const json& request : golden["requests"]) {
    text += json{{"context", request["context"]}, {"continuation", request["continuation"]}}.dump() + "\n";
    ids += json{{"context", request["context_ids"]}, {"continuation", request["continuation_ids"]}}.dump() + "\n";
  }
  const CommandResult result = Score(kSmolLm2, text + ids);
  ASSERT_EQ(result.exit_code, 0) << result.error << "(./test.sh fetches the real model)";
  const size_t count = golden["requests"].size();
  ASSERT_EQ(result.lines.size(), 2 * count);
  for (size_t i = 0; i < count; ++i) {
    const json& request = golden["requests"][i];
    SCOPED_TRACE(request["continuation"].get<std::string>());
    const json& got = result.lines[i];
    EXPECT_NEAR(got["logprob"].get<double>(), request["logprob"].get<double>(), 1e-2);
    EXPECT_EQ(got["is_greedy"], request["is_greedy"]);
    EXPECT_EQ(got["token_logprobs"].size(), request["continuation_ids"].size());
    EXPECT_EQ(got, result.lines[count + i]) << "text and ids";
  }
}

TEST_F(ModelCommands, ScoreErrors) {
  const std::string model = GoldenPath("arch/llama_tied/model");
  EXPECT_EQ(Score(model, "{\"context\": [1, 2], \"continuation\": [3]}").exit_code, 0);
  EXPECT_EQ(Score(model, "{\"continuation\": [3]}").exit_code, 0);  // the end-of-sequence token stands in
  const CommandResult text = Score(model, "{\"context\": \"a\", \"continuation\": \"b\"}");
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_THAT(text.error, HasSubstr("no tokenizer"));
  EXPECT_EQ(Score(model, "{\"context\": \"a\", \"continuation\": [3]}").exit_code, 2);
  EXPECT_EQ(Score(model, "{\"context\": [1]}").exit_code, 2);
  EXPECT_EQ(Score(model, "{\"context\": [1], \"continuation\": []}").exit_code, 2);
  EXPECT_EQ(Score(model, "{\"context\": [600], \"continuation\": [1]}").exit_code, 2);
  EXPECT_EQ(Score(model, "nonsense").exit_code, 2);
}

TEST_F(ModelCommands, InspectTheRealModel) {
  const CommandResult result = Inspect({kSmolLm2, "", "", true});
  ASSERT_EQ(result.exit_code, 0) << result.error << "(./test.sh fetches the real model)";
  ASSERT_EQ(result.lines.size(), 1u);
  const json& report = result.lines[0];
  EXPECT_EQ(report["format"], "GGUF");
  EXPECT_EQ(report["architecture"], "llama");
  EXPECT_EQ(report["supported"], true);
  EXPECT_EQ(report["config"]["num_layers"], 30);
  EXPECT_EQ(report["config"]["hidden_size"], 576);
  EXPECT_EQ(report["config"]["vocab_size"], 49152);
  EXPECT_EQ(report["config"]["tie_word_embeddings"], true);
  EXPECT_EQ(report["tensors"]["parameters"], 134515008);
  json types;
  for (const json& type : report["tensors"]["by_type"]) types[type["type"].get<std::string>()] = type["tensors"];
  EXPECT_EQ(types, json({{"Q4_1", 210}, {"Q8_0", 1}, {"F32", 61}}));
  // 106 M weights at 5 bits, 28 M at 8.5.
  EXPECT_NEAR(report["bits_per_weight"].get<double>(), (106168320 * 5.0 + 28311552 * 8.5) / 134479872, 1e-3);
  EXPECT_GE(report["runs"].size(), 6u);
  for (const json& run : report["runs"]) EXPECT_FALSE(run["kernel"].get<std::string>().empty());
  const CommandResult text = RunCommand("", [&](CliStreams s) { return RunInspect({kSmolLm2, "", "", false}, s); });
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, HasSubstr("Q4_1"));
  EXPECT_THAT(text.output, HasSubstr("30 layers"));
}

TEST_F(ModelCommands, InspectTensorGivesTheToolsBits) {
  const std::string folder = GoldenPath("quant/gguf_q4_0");
  const auto golden = SafetensorsFile::Open(folder + "/dequant.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  std::filesystem::create_directories(folder_);
  const std::string out = folder_ + "/tensor.safetensors";
  for (const std::string name : {"blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight"}) {
    const CommandResult result = Inspect({folder + "/model.gguf", name, out, true});
    ASSERT_EQ(result.exit_code, 0) << result.error;
    const auto wanted = *(*golden)->Floats(name);
    const auto got = *(*SafetensorsFile::Open(out))->Floats(name);
    ASSERT_GE(got.size(), wanted.size());  // the golden file has the first rows
    EXPECT_EQ(std::memcmp(got.data(), wanted.data(), wanted.size() * sizeof(float)), 0) << name;
  }
}

TEST_F(ModelCommands, InspectErrors) {
  EXPECT_EQ(Inspect({GoldenPath("nothing"), "", "", false}).exit_code, 2);
  EXPECT_EQ(Inspect({GoldenPath("arch/llama_tied/model"), "", "x.safetensors", false}).exit_code, 2);
  const CommandResult tensor = Inspect({GoldenPath("arch/llama_tied/model"), "no.such.tensor", "", false});
  EXPECT_EQ(tensor.exit_code, 2);
  EXPECT_THAT(tensor.error, HasSubstr("no.such.tensor"));
}

TEST_F(ModelCommands, InspectSaysWhyAModelDoesNotRun) {
  std::filesystem::create_directories(folder_);
  std::filesystem::copy(GoldenPath("arch/llama_tied/model"), folder_);
  json config = json::parse(ReadFile(folder_ + "/config.json"));
  config["model_type"] = "rwkv";
  std::ofstream(folder_ + "/config.json") << config;
  const CommandResult result = Inspect({folder_, "", "", true});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(result.lines[0]["supported"], false);
  EXPECT_THAT(result.lines[0]["reason"].get<std::string>(), HasSubstr("rwkv"));
}

}  // namespace
}  // namespace bitrate::golden
