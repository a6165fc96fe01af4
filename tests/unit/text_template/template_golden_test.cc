// Every row of the golden chat templates, byte by byte: what transformers' Jinja2 rendered, and where it refused.
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/text_template/golden_cases.h"

namespace bitrate {
namespace {

const std::string kDir = BITRATE_GOLDEN_DIR "/templates/";

TEST(TemplateGolden, EveryRow) {
  const std::vector<nlohmann::ordered_json> rows = ReadLines(kDir + "cases.jsonl");
  std::map<std::string, StatusOr<std::shared_ptr<const ChatTemplate>>> templates;
  int num_texts = 0;
  int num_errors = 0;
  for (const auto& row : rows) {
    const std::string name = row.at("template");
    SCOPED_TRACE(name + " " + row.at("conversation").get<std::string>());
    auto [it, added] = templates.try_emplace(name, Internal("not parsed"));
    if (added) it->second = ChatTemplate::Parse(ReadText(kDir + name));
    StatusOr<Rendered> rendered = it->second.ok() ? (*it->second)->Render(GoldenInput(row)) : it->second.status();
    if (row.contains("expected")) {
      ASSERT_TRUE(rendered.ok()) << rendered.status();
      EXPECT_EQ(rendered->text, row.at("expected").get<std::string>());
      ++num_texts;
      continue;
    }
    ASSERT_FALSE(rendered.ok()) << rendered->text;
    EXPECT_EQ(rendered.status().code(), StatusCode::kInvalidArgument);
    const auto& error = row.at("error");
    if (error.at("from_raise_exception").get<bool>()) {
      EXPECT_EQ(ToStd(rendered.status().message()), error.at("message").get<std::string>());
    }
    ++num_errors;
  }
  const auto meta = nlohmann::json::parse(ReadText(kDir + "case.json"));
  EXPECT_EQ(num_texts + num_errors, meta.at("rows").get<int>());
  EXPECT_EQ(num_errors, meta.at("error_rows").get<int>());
}

// Thousands of small templates, rendered by Jinja2 itself.
TEST(TemplateGolden, EveryExtraRow) {
  const std::string dir = BITRATE_GOLDEN_DIR "/templates_extra/";
  const auto context = nlohmann::ordered_json::parse(ReadText(dir + "context.json"));
  const std::vector<nlohmann::ordered_json> rows = ReadLines(dir + "cases.jsonl");
  EXPECT_GT(rows.size(), 3000u);
  for (const auto& row : rows) {
    const std::string source = row.at("source");
    SCOPED_TRACE(source);
    RenderInput input;
    input.messages = context.at("messages");
    input.tools = context.at("tools");
    input.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    input.now = GoldenNow();
    const auto parsed = ChatTemplate::Parse(source);
    const StatusOr<Rendered> rendered = parsed.ok() ? (*parsed)->Render(input) : parsed.status();
    if (row.contains("expected")) {
      ASSERT_TRUE(rendered.ok()) << rendered.status();
      EXPECT_EQ(rendered->text, row.at("expected").get<std::string>());
      continue;
    }
    ASSERT_FALSE(rendered.ok()) << rendered->text;
    if (row.at("error").at("from_raise_exception").get<bool>()) {
      EXPECT_EQ(ToStd(rendered.status().message()), row.at("error").at("message").get<std::string>());
    }
  }
}

}  // namespace
}  // namespace bitrate
