// tokenize, detokenize and template against what Hugging Face's own tools make of the same lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/model_source/score_split.h"
#include "tests/golden/cli/command_runner.h"

namespace bitrate::golden {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using testing::HasSubstr;

const std::string kSmolLm2 = std::string(BITRATE_MODEL_DIR) + "/SmolLM2-135M-Instruct.Q4_1.gguf";

CommandResult Tokenize(const std::string& model, const std::string& input) {
  return RunCommand(input, [&](CliStreams streams) { return RunTokenize(model, streams); });
}
CommandResult Detokenize(const std::string& model, const std::string& input) {
  return RunCommand(input, [&](CliStreams streams) { return RunDetokenize(model, streams); });
}
CommandResult Template(const std::string& model, const std::string& input) {
  return RunCommand(input, [&](CliStreams streams) { return RunTemplate(model, streams); });
}

class TokenizeGolden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Folders, TokenizeGolden, testing::Values("llama3", "llama2", "gpt2", "smollm2"));

TEST_P(TokenizeGolden, IdsAndTexts) {
  const std::string folder = GoldenPath(std::string("tokenizers/") + GetParam());
  const auto rows = ReadJsonLines(folder + "/cases.jsonl");
  ASSERT_FALSE(rows.empty());
  std::string texts, plain, ids;
  for (const ordered_json& row : rows) {
    texts += ordered_json{{"text", row["text"]}}.dump() + "\n";
    plain += ordered_json{{"text", row["text"]}, {"add_special", false}}.dump() + "\n";
    ids += ordered_json{{"ids", row["ids"]}, {"skip_special", true}}.dump() + "\n";
  }
  const CommandResult with = Tokenize(folder, texts), without = Tokenize(folder, plain), back = Detokenize(folder, ids);
  ASSERT_EQ(with.exit_code, 0) << with.error;
  ASSERT_EQ(with.lines.size(), rows.size());
  ASSERT_EQ(without.lines.size(), rows.size());
  ASSERT_EQ(back.lines.size(), rows.size()) << back.error;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(with.lines[i]["ids"], json(rows[i]["ids"])) << rows[i]["text"];
    EXPECT_EQ(without.lines[i]["ids"], json(rows[i].value("plain", rows[i]["ids"]))) << rows[i]["text"];
    EXPECT_EQ(back.lines[i]["text"], json(rows[i]["decoded"])) << rows[i]["text"];
  }
}

TEST(TokenizeGguf, TheRealModelsFileGivesTheIdsOfItsTokenizerJson) {
  const auto rows = ReadJsonLines(GoldenPath("tokenizers/smollm2/cases.jsonl"));
  std::string texts;
  for (const ordered_json& row : rows) texts += ordered_json{{"text", row["text"]}}.dump() + "\n";
  const CommandResult result = Tokenize(kSmolLm2, texts);
  ASSERT_EQ(result.exit_code, 0) << result.error << "(./test.sh fetches the real model)";
  ASSERT_EQ(result.lines.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(result.lines[i]["ids"], json(rows[i]["ids"])) << rows[i]["text"];
}

TEST(TokenizeErrors, NameTheLineAndExitWith2) {
  const std::string folder = GoldenPath("tokenizers/gpt2");
  const CommandResult broken = Tokenize(folder, "{\"text\": \"a\"}\n\n{\"text\": \n");
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_EQ(broken.lines.size(), 1u);  // what came before is answered
  EXPECT_THAT(broken.error, HasSubstr("line 3: "));
  EXPECT_THAT(Tokenize(folder, "{\"txt\": 1}").error, HasSubstr("line 1: text: "));
  EXPECT_EQ(Tokenize(folder, "[1]").exit_code, 2);
  const CommandResult id = Detokenize(folder, "{\"ids\": [1, 1000000]}");
  EXPECT_EQ(id.exit_code, 2);
  EXPECT_THAT(id.error, HasSubstr("line 1: "));
  EXPECT_EQ(Detokenize(folder, "{\"ids\": [\"a\"]}").exit_code, 2);
  const CommandResult missing = Tokenize(GoldenPath("no-such-folder"), "");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.error, HasSubstr("no-such-folder"));
  EXPECT_EQ(Tokenize(GoldenPath("arch/llama_tied/model"), "").exit_code, 2);  // no tokenizer there
}

TEST(TemplateGolden, EveryRow) {
  std::map<std::string, std::string> sources;
  const auto rows = ReadJsonLines(GoldenPath("templates/cases.jsonl"));
  std::string input;
  for (const ordered_json& row : rows) {
    const std::string name = row["template"].get<std::string>();
    if (sources.count(name) == 0) sources[name] = ReadFile(GoldenPath("templates/" + name));
    ordered_json line = row;
    for (const char* key : {"template", "conversation", "expected", "error", "extra"}) line.erase(key);
    if (row.contains("extra")) line.update(row["extra"]);
    line["chat_template"] = sources[name];
    line["now"] = "2024-07-26 09:05:03";
    input += line.dump() + "\n";
  }
  const CommandResult result = Template(GoldenPath("tokenizers/gpt2"), input);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  ASSERT_EQ(result.lines.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(rows[i]["template"].get<std::string>() + " " + rows[i]["conversation"].get<std::string>());
    if (rows[i].contains("expected")) {
      ASSERT_TRUE(result.lines[i].contains("text")) << result.lines[i];
      EXPECT_EQ(result.lines[i]["text"], json(rows[i]["expected"]));
      continue;
    }
    ASSERT_TRUE(result.lines[i].contains("error")) << result.lines[i];
    if (rows[i]["error"]["from_raise_exception"].get<bool>()) {
      EXPECT_EQ(result.lines[i]["error"], json(rows[i]["error"]["message"]));
    }
  }
}

TEST(TemplateCommand, TheModelsOwnTemplateAndBadRows) {
  const CommandResult result = Template(
      kSmolLm2,
      "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"Hi!\"}]}\n"
      "{\"messages\": \n"
      "{\"messages\": [], \"now\": \"yesterday\"}\n"
      "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}], \"add_generation_prompt\": false}\n");
  ASSERT_EQ(result.exit_code, 0) << result.error << "(./test.sh fetches the real model)";
  ASSERT_EQ(result.lines.size(), 4u);
  EXPECT_EQ(result.lines[0]["text"],
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_TRUE(result.lines[1].contains("error"));
  EXPECT_THAT(result.lines[2]["error"].get<std::string>(), HasSubstr("now"));
  EXPECT_EQ(result.lines[3]["text"], "<|im_start|>system\nS<|im_end|>\n");
  EXPECT_EQ(Template(GoldenPath("tokenizers/gpt2"), "{\"messages\": []}").lines[0].count("error"), 1u);
}

TEST(TrimmedSize, TakesWhatPythonsRstripTakes) {
  EXPECT_EQ(TrimmedSize("a b \t\n\v\f\r"), 3u);
  EXPECT_EQ(TrimmedSize("a\xC2\xA0\xE3\x80\x80\xE2\x80\x89\x1F"), 1u);
  EXPECT_EQ(TrimmedSize("a\xE2\x80\x8B"), 4u);  // a zero-width space is none
  EXPECT_EQ(TrimmedSize("  "), 0u);
  EXPECT_EQ(TrimmedSize(""), 0u);
}

}  // namespace
}  // namespace bitrate::golden
