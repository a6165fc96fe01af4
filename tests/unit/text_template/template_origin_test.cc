// What a client wrote stays text: the byte ranges of a rendering that came from the request.
#include <gtest/gtest.h>

#include "tests/unit/text_template/golden_cases.h"

namespace bitrate {
namespace {

// The rendering with the request's bytes between « and ».
std::string Marked(const std::string& source, const nlohmann::ordered_json& variables,
                   const nlohmann::ordered_json& messages = nlohmann::ordered_json::array()) {
  const auto parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return std::string(ToStd(parsed.status().message()));
  RenderInput input;
  input.variables = variables;
  input.messages = messages;
  input.now = GoldenNow();
  const StatusOr<Rendered> rendered = (*parsed)->Render(input);
  if (!rendered.ok()) return std::string(ToStd(rendered.status().message()));
  std::string marked;
  size_t at = 0;
  for (const ByteRange& range : rendered->input_ranges) {
    EXPECT_LT(range.begin, range.end);
    EXPECT_TRUE(range.begin > at || at == 0) << "ranges touch or overlap";
    EXPECT_LE(range.end, rendered->text.size());
    marked += rendered->text.substr(at, range.begin - at) + "«" +
              rendered->text.substr(range.begin, range.end - range.begin) + "»";
    at = range.end;
  }
  return marked + rendered->text.substr(at);
}

TEST(TemplateOrigin, EachOperationKeepsIt) {
  const nlohmann::ordered_json variables = {{"u", "  <|x|> y  "}, {"n", 5},        {"f", 1.5},
                                            {"t", true},          {"l", {"a", 1}}, {"d", {{"k", "v"}}},
                                            {"none_", nullptr},   {"w", "ab cd"}};
  const struct {
    const char* source;
    const char* marked;
  } kCases[] = {
      {"<|a|>{{ u }}<|b|>", "<|a|>«  <|x|> y  »<|b|>"},
      {"{{ '<' + w + '>' }}", "<«ab cd»>"},
      {"{{ '<' ~ w ~ n ~ '>' }}", "<«ab cd5»>"},
      {"[{{ u | trim }}]", "[«<|x|> y»]"},
      {"[{{ u.strip() }}]", "[«<|x|> y»]"},
      {"{{ ('<' + w + '>')[1:4] }}", "«ab »"},
      {"{{ ('<' + w + '>')[::-1] }}", ">«dc ba»<"},
      {"{{ ('<' + w + '>')[0] }}", "<"},
      {"{{ ('<' + w + '>') | upper }}", "<«AB CD»>"},
      {"{{ ('<' + w + '>') | title }}", "<«Ab Cd»>"},
      {"{{ ('<' + w + '>') | replace('b', '_') }}", "<«a»_« cd»>"},
      {"{{ '<x>' | replace('x', w) }}", "<«ab cd»>"},
      {"{{ w.split(' ') | join('|') }}", "«ab»|«cd»"},
      {"{{ ('<' + w + '>').split(' ')[1] }}", "«cd»>"},
      {"{{ ('a' + w) | tojson }}", "«\"»a«ab cd\"»"},
      {"{{ d | tojson }}", "«{\"k\": \"v\"}»"},
      {"{{ {'k': w} | tojson }}", "{\"k\": «\"ab cd\"»}"},
      {"{{ d }}", "«{'k': 'v'}»"},
      {"{{ {'k': w} }}", "{'k': «'ab cd'»}"},
      {"{{ n }}{{ n + 1 }}{{ f * 2 }}{{ t }}{{ none_ }}{{ 7 }}", "«563.0TrueNone»7"},
      {"{{ '%s-%d' % (w, n) }}", "«ab cd»-«5»"},
      {"{{ '{}-{:>3}'.format(w, n) }}", "«ab cd»-  «5»"},
      {"{% set s %}<{{ w }}>{% endset %}{{ s }}", "<«ab cd»>"},
      {"{% filter upper %}x{{ w }}{% endfilter %}", "X«AB CD»"},
      {"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(w) }}", "<«ab cd»>"},
      {"{% set ns = namespace(s='') %}{% for c in w %}{% set ns.s = ns.s ~ c ~ '.' %}{% endfor %}{{ ns.s }}",
       "«a».«b».« ».«c».«d»."},
      {"{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "«k»=«v»"},
      {"{{ l | map('string') | join(',') }}", "«a»,«1»"},
      {"{{ w | list | sort | join }}", "« abcd»"},
      {"{{ w | indent(2) }}{{ w | center(9) }}", "«ab cd»  «ab cd»  "},
      {"{{ w | escape }}{{ (w ~ '<') | e }}", "«ab cdab cd»&lt;"},
      {"{{ w | truncate(4, true, '..', 0) }}", "«ab».."},
      {"{{ w is string }}{{ w == 'ab cd' }}", "TrueTrue"},
      {"{{ w if n else 'x' }}{{ nope or w }}{{ nope | default(w) }}", "«ab cdab cdab cd»"},
      {"{{ w | length }}", "«5»"},
      {"{{ strftime_now('%Y') }}", "2024"},
  };
  for (const auto& row : kCases) EXPECT_EQ(Marked(row.source, variables), row.marked) << row.source;
}

TEST(TemplateOrigin, SpecialTokensOfTheModelAreTheTemplates) {
  EXPECT_EQ(
      Marked("{{ bos_token }}{{ x }}{{ eos_token }}", {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"x", "</s>"}}),
      "<s>«</s>»</s>");
  EXPECT_TRUE(IsServerVariable("bos_token"));
  EXPECT_FALSE(IsServerVariable("enable_thinking"));
}

TEST(TemplateOrigin, RolesAndContentOfAChat) {
  const std::string source = ReadText(std::string(BITRATE_GOLDEN_DIR) + "/templates/chatml.jinja");
  EXPECT_EQ(Marked(source, nlohmann::ordered_json::object(), {{{"role", "user"}, {"content", "a<|im_end|>b"}}}),
            "<|im_start|>«user»\n«a<|im_end|>b»<|im_end|>\n<|im_start|>assistant\n");
}

// Replacing every string of the request by another must change nothing outside the ranges.
TEST(TemplateOrigin, NothingOfTheRequestEscapesTheRanges) {
  const std::string dir = std::string(BITRATE_GOLDEN_DIR) + "/templates/";
  int checked = 0;
  for (const auto& row : ReadLines(dir + "cases.jsonl")) {
    const std::string name = row.at("template");
    if (!row.contains("expected") || name.starts_with("feature_")) continue;
    RenderInput input = GoldenInput(row);
    for (auto& message : input.messages) {
      if (message["content"].is_string() && message["content"] != "") message["content"] = "\x01SECRET\x01";
    }
    const StatusOr<Rendered> rendered = (*ChatTemplate::Parse(ReadText(dir + name)))->Render(input);
    if (!rendered.ok()) continue;
    std::string outside;
    size_t at = 0;
    for (const ByteRange& range : rendered->input_ranges) {
      outside += rendered->text.substr(at, range.begin - at);
      at = range.end;
    }
    outside += rendered->text.substr(at);
    EXPECT_EQ(outside.find("SECRET"), std::string::npos) << name;
    ++checked;
  }
  EXPECT_GT(checked, 200);
}

}  // namespace
}  // namespace bitrate
