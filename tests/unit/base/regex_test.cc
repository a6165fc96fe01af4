// Modes, groups and limits of Regex. Expected matches: Python's re (re.match, re.fullmatch) on the same texts.
#include "engine/base/regex.h"

#include <gtest/gtest.h>

#include <string>

namespace bitrate {
namespace {

Regex::Match Find(std::string_view pattern, Regex::Mode mode, std::string_view subject) {
  const auto regex = Regex::Compile(pattern, mode);
  EXPECT_TRUE(regex.ok()) << regex.status();
  RegexScratch scratch;
  const auto match = regex->Find(subject, 0, &scratch);
  EXPECT_TRUE(match.ok()) << match.status();
  return *match;
}

TEST(Regex, StartLooksAtOnePlaceOnly) {
  EXPECT_TRUE(Find("b", Regex::Mode::kLines, "abc").found);
  EXPECT_FALSE(Find("b", Regex::Mode::kStart, "abc").found);
  EXPECT_TRUE(Find("a", Regex::Mode::kStart, "abc").found);
}

TEST(Regex, WholeTriesEveryAlternative) {
  EXPECT_FALSE(Find("a", Regex::Mode::kWhole, "ab").found);
  EXPECT_TRUE(Find("a|ab", Regex::Mode::kWhole, "ab").found);
}

TEST(Regex, CaretMatchesAtLinesOnlyWhereAskedFor) {
  EXPECT_TRUE(Find("^b", Regex::Mode::kLines, "a\nb").found);
  EXPECT_FALSE(Find("a\\n^b", Regex::Mode::kStart, "a\nb").found);
}

TEST(Regex, FirstGroup) {
  const Regex::Match match = Find(".*\\.([0-9]+)\\.", Regex::Mode::kStart, "layers.12.mlp");
  ASSERT_TRUE(match.found);
  EXPECT_EQ(match.group_begin, 7u);
  EXPECT_EQ(match.group_end, 9u);
  const Regex::Match none = Find("(x)?a", Regex::Mode::kStart, "a");
  ASSERT_TRUE(none.found);
  EXPECT_EQ(none.group_end, 0u);
  EXPECT_EQ(Find("(a)(b)(c)(d)", Regex::Mode::kStart, "abcd").group_end, 1u);
}

TEST(Regex, BadPatternsAndEndlessMatchesAreErrors) {
  EXPECT_EQ(Regex::Compile("(", Regex::Mode::kStart).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Regex::Compile({}, Regex::Mode::kWhole).ok());
  const auto regex = Regex::Compile("(a+)+$", Regex::Mode::kStart);
  ASSERT_TRUE(regex.ok());
  RegexScratch scratch;
  EXPECT_EQ(regex->Find(std::string(100, 'a') + "b", 0, &scratch).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bitrate
