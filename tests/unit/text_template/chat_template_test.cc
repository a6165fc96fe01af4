// The front door: errors, the clock, selecting a template, threads.
#include "engine/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "engine/base/limits.h"
#include "tests/unit/text_template/golden_cases.h"

namespace bitrate {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Status RenderError(const std::string& source) {
  const auto parsed = ChatTemplate::Parse(source);
  return parsed.ok() ? (*parsed)->Render({}).status() : parsed.status();
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  for (const char* source :
       {"a\nb\n{{ nope.x }}", "a\nb\n{% if %}", "a\nb\n{{ 'x' + 1 }}", "a\r\nb\r\n{{ 1 | nofilter }}"}) {
    const Status status = RenderError(source);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << source;
    EXPECT_THAT(std::string(status.message()), StartsWith("template line 3: ")) << source;
  }
}

TEST(ChatTemplate, RaiseExceptionIsPassedOnVerbatim) {
  const Status status = RenderError("{{ raise_exception('Roles must alternate, {not} {{this}} %s') }}");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), "Roles must alternate, {not} {{this}} %s");
}

TEST(ChatTemplate, WithoutAClockThereIsNoStrftime) {
  const auto parsed = ChatTemplate::Parse("{{ strftime_now('%Y') if strftime_now is defined else 'unknown' }}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ((*parsed)->Render({})->text, "unknown");
  RenderInput input;
  input.now = GoldenNow();
  EXPECT_EQ((*parsed)->Render(input)->text, "2024");
  input.now->tm_mon = 99;
  EXPECT_FALSE((*parsed)->Render(input).ok());
}

TEST(ChatTemplate, AVariableCannotReplaceTheMessages) {
  RenderInput input;
  input.messages = {{{"role", "user"}, {"content", "real"}}};
  input.variables = {{"messages", "false"}, {"add_generation_prompt", "false"}};
  EXPECT_EQ((*ChatTemplate::Parse("{{ messages[0].content }}{{ add_generation_prompt }}"))->Render(input)->text,
            "realTrue");
}

TEST(ChatTemplate, Mentions) {
  const auto parsed = ChatTemplate::Parse("{% if tools %}{{ enable_thinking }}{% endif %}");
  EXPECT_TRUE((*parsed)->Mentions("tools"));
  EXPECT_TRUE((*parsed)->Mentions("enable_thinking"));
  EXPECT_FALSE((*parsed)->Mentions("documents"));
}

TEST(ChatTemplate, InvalidUtf8PassesThrough) {
  RenderInput input;
  input.messages = {{{"role", "user"}, {"content", "a\xff\xe6\x97z\xf0\x9f"}}};
  const auto parsed =
      ChatTemplate::Parse("{{ messages[0].content | upper }}{{ messages[0].content[::-1] }}{{ messages }}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE((*parsed)->Render(input).ok());
}

TEST(ChatTemplate, OneTemplateManyThreads) {
  const auto parsed = ChatTemplate::Parse("{% for m in messages %}{{ m.role | upper }}:{{ m.content }};{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      RenderInput input;
      input.messages = {{{"role", "user"}, {"content", std::to_string(t)}}};
      for (int i = 0; i < 200; ++i) EXPECT_EQ((*parsed)->Render(input)->text, "USER:" + std::to_string(t) + ";");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SelectChatTemplate, PicksByName) {
  const auto select = [](const char* json, bool tools) {
    const StatusOr<std::string> text = SelectChatTemplate(nlohmann::json::parse(json), tools);
    return text.ok() ? *text : std::string(absl::StatusCodeToString(text.status().code()));
  };
  EXPECT_EQ(select(R"({"chat_template": "x"})", true), "x");
  const char* two =
      R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]})";
  EXPECT_EQ(select(two, true), "t");
  EXPECT_EQ(select(two, false), "d");
  EXPECT_EQ(select(R"({"chat_template": [{"name": "rag", "template": "r"}]})", false), "r");
  EXPECT_EQ(select(R"({"chat_template": [{"name": "a", "template": "r"}, {"name": "b", "template": "s"}]})", false),
            "NOT_FOUND");
  EXPECT_EQ(select("{}", false), "NOT_FOUND");
  EXPECT_EQ(select("[]", false), "NOT_FOUND");
  EXPECT_EQ(select(R"({"chat_template": 5})", false), "INVALID_ARGUMENT");
  EXPECT_EQ(select(R"({"chat_template": [5]})", false), "INVALID_ARGUMENT");
}

TEST(ParseOrderedJson, KeepsOrderAndBounds) {
  EXPECT_EQ(ParseOrderedJson(R"({"z": 1, "a": "\"{"})", "tools")->dump(), R"({"z":1,"a":"\"{"})");
  EXPECT_THAT(std::string(ParseOrderedJson("{", "tools").status().message()), StartsWith("tools: "));
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseOrderedJson(nested(limits::kMaxJsonDepth), "x").ok());
  EXPECT_FALSE(ParseOrderedJson(nested(limits::kMaxJsonDepth + 1), "x").ok());
  const auto keys = [](int count) {
    std::string text = "{";
    for (int i = 0; i < count; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
    return text + "}";
  };
  EXPECT_TRUE(ParseOrderedJson(keys(4096), "x").ok());
  EXPECT_FALSE(ParseOrderedJson(keys(4097), "x").ok());
}

}  // namespace
}  // namespace bitrate
