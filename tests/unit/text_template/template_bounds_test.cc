// Every bound at its limit and one past it, and the known ways to make a template engine run away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>

#include "engine/base/limits.h"
#include "engine/text/chat_template.h"

namespace bitrate {
namespace {

std::string Repeat(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

StatusOr<Rendered> Render(const std::string& source, const RenderInput& input = {}) {
  ASSIGN_OR_RETURN(const auto parsed, ChatTemplate::Parse(source));
  return parsed->Render(input);
}

std::string MessageOf(const StatusOr<Rendered>& rendered) {
  return rendered.ok() ? "OK" : std::string(ToStd(rendered.status().message()));
}

// The engine promises 256 KiB in optimised builds; sanitizers and -O0 make frames several times larger.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr size_t kStackBytes = 2u << 20;
#else
constexpr size_t kStackBytes = 256u << 10;
#endif

void OnSmallStack(std::function<void()> body) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kStackBytes), 0);
  pthread_t thread;
  const auto run = [](void* function) -> void* {
    (*static_cast<std::function<void()>*>(function))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &body), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

TEST(TemplateBounds, Range) {
  const std::string limit = std::to_string(limits::kMaxTemplateRange);
  EXPECT_EQ(Render("{{ range(" + limit + ") | length }}")->text, limit);
  EXPECT_FALSE(Render("{{ range(" + limit + " + 1) | length }}").ok());
  EXPECT_FALSE(Render("{{ range(-9223372036854775807, 9223372036854775807) }}").ok());
  EXPECT_FALSE(Render("{{ range(0, 9223372036854775807, 1) }}").ok());
}

TEST(TemplateBounds, TemplateBytes) {
  const std::string limit(limits::kMaxTemplateBytes, 'x');
  EXPECT_EQ(Render(limit)->text.size(), limit.size());
  EXPECT_FALSE(ChatTemplate::Parse(limit + "x").ok());
}

TEST(TemplateBounds, OutputBytes) {
  const std::string mebibyte = "{% set s = 'x' * 1048576 %}";
  const int times = static_cast<int>(limits::kMaxTemplateOutputBytes >> 20);
  EXPECT_EQ(Render(mebibyte + Repeat("{{ s }}", times))->text.size(), limits::kMaxTemplateOutputBytes);
  EXPECT_THAT(MessageOf(Render(mebibyte + Repeat("{{ s }}", times) + "y")), testing::HasSubstr("output"));
  EXPECT_THAT(MessageOf(Render(mebibyte + Repeat("{{ s }}", times) + "{{ 1 }}")), testing::HasSubstr("output"));
}

TEST(TemplateBounds, Steps) {
  const std::string loops = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}";
  EXPECT_THAT(MessageOf(Render(loops + "{% endfor %}{% endfor %}{% endfor %}")), testing::HasSubstr("steps"));
}

TEST(TemplateBounds, Depth) {
  // The statement and the expressions inside it each cost a level.
  const auto nested_ifs = [](int depth) { return Repeat("{% if 1 %}", depth) + "x" + Repeat("{% endif %}", depth); };
  const auto brackets = [](int depth) { return "{{ " + Repeat("(", depth) + "1" + Repeat(")", depth) + " }}"; };
  const int limit = limits::kMaxTemplateDepth;
  OnSmallStack([&] {
    EXPECT_EQ(Render(nested_ifs(limit - 1))->text, "x");
    EXPECT_FALSE(Render(nested_ifs(limit)).ok());  // the text inside is one level more
    EXPECT_EQ(Render(brackets(limit - 1))->text, "1");
    EXPECT_FALSE(Render(brackets(limit)).ok());
  });
}

TEST(TemplateBounds, DeepSourcesOnASmallStack) {
  OnSmallStack([] {
    for (const char* open : {"(", "[", "{1:", "not ", "-", "a.b(", "x[", "1 + (", "1 if 1 else ", "a|f(", "'a' ~ ("}) {
      EXPECT_FALSE(Render("{{ " + Repeat(open, 20'000)).ok()) << open;
      EXPECT_FALSE(Render("{{ " + Repeat(open, 20'000) + "1").ok()) << open;
    }
    for (const char* chain : {"1 + ", "a.b.", "1 ** "}) {
      EXPECT_FALSE(Render("{{ " + Repeat(chain, 20'000) + "1 }}").ok()) << chain;
    }
    EXPECT_FALSE(Render("{{ a" + Repeat("|upper", 20'000) + " }}").ok());
    EXPECT_FALSE(Render("{{ a" + Repeat("[0]", 20'000) + " }}").ok());
    EXPECT_FALSE(Render("{{ a" + Repeat("()", 20'000) + " }}").ok());
    EXPECT_FALSE(Render("{{ a" + Repeat(" is defined", 1000) + " }}").ok());
    for (const char* tag : {"{% for a in [1] %}", "{% macro m() %}", "{% set x %}", "{% filter upper %}",
                            "{% with a = 1 %}", "{% call m() %}", "{% generation %}", "{% if a %}"}) {
      EXPECT_FALSE(Render(Repeat(tag, 5'000)).ok()) << tag;
    }
    EXPECT_FALSE(Render("{% set " + Repeat("(", 20'000) + "a").ok());
    EXPECT_TRUE(Render("{% if 0 %}" + Repeat("{% elif 0 %}", 5'000) + "{% endif %}").ok());  // flat
  });
}

TEST(TemplateBounds, RunawayRecursionOnASmallStack) {
  OnSmallStack([] {
    EXPECT_THAT(MessageOf(Render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")), testing::HasSubstr("deeper"));
    EXPECT_THAT(MessageOf(Render("{% macro m(a=m()) %}{% endmacro %}{{ m() }}")), testing::HasSubstr("deeper"));
    EXPECT_THAT(MessageOf(Render("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}")),
                testing::HasSubstr("deeper"));
    EXPECT_THAT(MessageOf(Render("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}")),
                testing::HasSubstr("deeper"));
    const std::string deep =
        "{% set ns = namespace(x=[]) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    for (const char* use : {"{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == [ns.x] }}", "{{ [ns.x] < [[ns.x]] }}",
                            "{{ ns.x | string }}"}) {
      EXPECT_FALSE(Render(deep + use).ok()) << use;
    }
    EXPECT_TRUE(Render(deep).ok());
    EXPECT_FALSE(Render("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}").ok());
  });
}

TEST(TemplateBounds, DeepMessages) {
  const auto nested = [](int depth) {
    nlohmann::ordered_json value = 1;
    for (int i = 0; i < depth; ++i) value = nlohmann::ordered_json::array({std::move(value)});
    return value;
  };
  RenderInput input;
  input.messages = nested(limits::kMaxTemplateDepth - 1);  // and the number inside
  EXPECT_TRUE(Render("{{ messages is defined }}", input).ok());
  EXPECT_FALSE(Render("{{ messages | tojson }}", input).ok());  // the statement and the filter are levels too
  input.messages = nested(limits::kMaxTemplateDepth);
  EXPECT_FALSE(Render("{{ messages is defined }}", input).ok());
  input.messages = nested(limits::kMaxTemplateDepth - 3);
  EXPECT_TRUE(Render("{{ messages | tojson }}", input).ok());
}

TEST(TemplateBounds, MemoryDoesNotRunAway) {
  const std::string loop = "{% set ns = namespace(x='ab', l=[1]) %}{% for i in range(64) %}";
  for (const char* grow :
       {"{% set ns.x = ns.x ~ ns.x %}", "{% set ns.x = ns.x + ns.x %}", "{% set ns.x = ns.x * 2 %}",
        "{% set ns.l = ns.l + ns.l %}", "{% set ns.l = ns.l * 2 %}", "{% set ns.x = ns.x.replace('a', 'aa') %}",
        "{% set ns.x = [ns.x, ns.x] | join %}", "{% set ns.x = '%s%s' % (ns.x, ns.x) %}",
        "{% set ns.x = '{0}{0}'.format(ns.x) %}", "{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = x %}",
        "{% set ns.l = [ns.l, ns.l] | sum(start=[]) %}", "{% set ns.x = ns.x | indent(1000000, true) %}",
        "{% set ns.x = ns.x.center(99999999) %}", "{% set ns.x = ns.x | replace('', 'abc') %}",
        "{% set ns.x = [ns.x] * 10000000 %}", "{% set ns.x = ns.x.expandtabs(99999999) ~ '\\t' %}"}) {
    EXPECT_FALSE(Render(loop + grow + "{% endfor %}").ok()) << grow;
  }
  EXPECT_FALSE(Render("{{ 'x' * 99999999999 }}").ok());
  EXPECT_FALSE(Render("{{ [1] * 9223372036854775807 }}").ok());
  EXPECT_FALSE(Render("{{ '%999999999999d' % 1 }}").ok());
  EXPECT_FALSE(Render("{{ '{:999999999999}'.format(1) }}").ok());
}

TEST(TemplateBounds, LongSearchesAreCharged) {
  // Quadratic on purpose: needles that almost match everywhere, one after the other.
  const std::string setup = "{% set t = 'a' * 1000000 %}{% set n = 'a' * 500000 ~ 'b' %}{% for i in range(100000) %}";
  for (const char* use :
       {"{{ n in t }}", "{{ t.find(n) }}", "{{ t.rfind(n) }}", "{{ t.count(n) }}", "{{ t.replace(n, '') | length }}",
        "{{ t.split(n) | length }}", "{{ t.rsplit(n, 1) | length }}"}) {
    EXPECT_FALSE(Render(setup + use + "{% endfor %}").ok()) << use;
  }
}

}  // namespace
}  // namespace bitrate
