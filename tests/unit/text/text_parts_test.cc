// The small parts under the tokenizer: UTF-8, the byte alphabet, the trie, patterns, normalization forms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "engine/text/byte_level.h"
#include "engine/text/byte_trie.h"
#include "engine/text/oniguruma.h"
#include "engine/text/unicode_form.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

std::string Lossy(std::string_view bytes) {
  std::string out;
  AppendLossy(bytes, &out);
  return out;
}

// Tables 3-8 to 3-11 of the Unicode standard (U+FFFD substitution of maximal subparts).
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r(kReplacementUtf8);
  EXPECT_EQ(Lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(Lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(Lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(Lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(FirstInvalidUtf8(""), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("plain ascii, long enough for words"), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("a\xF0\x9F\x98\x80z\xEF\xBF\xBD"), std::string_view::npos);
  EXPECT_EQ(FirstInvalidUtf8("12345678\x80"), 8u);
  EXPECT_EQ(FirstInvalidUtf8("abc\xE2\x82"), 3u) << "cut off by the end";
  EXPECT_EQ(FirstInvalidUtf8("\xED\xA0\x80"), 0u) << "a surrogate";
  EXPECT_EQ(FirstInvalidUtf8(std::string_view("\0ok", 3)), std::string_view::npos);
}

TEST(Utf8, WalksCodePointsBothWays) {
  std::string text;
  const std::vector<char32_t> points = {0, 0x41, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFD, 0x10000, 0x10FFFF};
  for (const char32_t c : points) AppendUtf8(c, &text);
  std::vector<char32_t> forward;
  for (size_t pos = 0; pos < text.size(); pos += CodePointBytes(text[pos])) forward.push_back(CodePointAt(text, pos));
  EXPECT_EQ(forward, points);
  std::vector<char32_t> backward;
  for (size_t pos = text.size(); pos > 0;) {
    pos = PreviousStart(text, pos);
    backward.insert(backward.begin(), CodePointAt(text, pos));
  }
  EXPECT_EQ(backward, points);
}

TEST(Utf8, KnowsThePropertiesTokenizersAskFor) {
  for (const char32_t c : {U' ', U'\t', U'\n', U'\x85', U'\xA0', U'\u2028', U'\u3000'}) EXPECT_TRUE(IsWhitespace(c));
  for (const char32_t c : {U'a', U'\x1C', U'\u180E', U'\u200B', U'\uFEFF'}) EXPECT_FALSE(IsWhitespace(c));
  for (const char32_t c : {U'0', U'\u0663', U'\u00BD', U'\u2167', U'\u2460'}) EXPECT_TRUE(IsNumeric(c));
  EXPECT_FALSE(IsNumeric(U'a'));
  for (const char32_t c : {U'!', U'$', U'~', U'\u3002', U'\u00BF'}) EXPECT_TRUE(IsPunctuation(c));
  EXPECT_FALSE(IsPunctuation(U'\u20AC'));
  for (const char32_t c : {U'a', U'_', U'7', U'\u0301', U'\u200D'}) EXPECT_TRUE(IsWord(c));
  EXPECT_FALSE(IsWord(U'-'));
}

TEST(ByteLevel, IsOneToOneAndKeepsPrintableBytes) {
  EXPECT_EQ(ByteToChar('A'), U'A');
  EXPECT_EQ(ByteToChar(0), U'\u0100');
  EXPECT_EQ(ByteToChar(' '), U'\u0120');
  EXPECT_EQ(ByteToChar('\n'), U'\u010A');
  EXPECT_EQ(ByteToChar(0xAD), U'\u0143');
  for (int b = 0; b < 256; ++b) EXPECT_EQ(CharToByte(ByteToChar(static_cast<uint8_t>(b))), b);
  EXPECT_EQ(CharToByte(U' '), -1);
  std::string out;
  AppendByteLevelDecoded("\xC4\xA0x", &out);
  EXPECT_EQ(out, " x");
  AppendByteLevelDecoded("a b", &out);
  EXPECT_EQ(out, " xa b") << "a token with a foreign character stands for itself";
}

TEST(ByteTrie, FindsEveryPrefix) {
  const ByteTrie trie = ByteTrie::Build({{"a", 1}, {"abc", 2}, {"ab", 3}, {"b", 4}, {"", 5}, {"abc", 6}, {"\xFF", 7}});
  const auto find = [&](std::string_view text, size_t pos) {
    std::vector<std::pair<int32_t, size_t>> found;
    trie.ForEachPrefix(text, pos, [&](int32_t value, size_t length) { found.emplace_back(value, length); });
    return found;
  };
  using Found = std::vector<std::pair<int32_t, size_t>>;
  EXPECT_EQ(find("abcd", 0), (Found{{1, 1}, {3, 2}, {6, 3}}));
  EXPECT_EQ(find("abcd", 1), (Found{{4, 1}}));
  EXPECT_EQ(find("ab", 0), (Found{{1, 1}, {3, 2}}));
  EXPECT_EQ(find("x\xFF", 1), (Found{{7, 1}}));
  EXPECT_EQ(find("x", 0), Found{});
  EXPECT_EQ(find("a", 1), Found{});
  EXPECT_FALSE(trie.CanStart('c'));
}

bool Matches(std::string_view pattern, std::string_view text) {
  auto regex = CompileOniguruma(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  RegexScratch scratch;
  auto match = regex->Find(text, 0, &scratch);
  EXPECT_TRUE(match.ok()) << match.status();
  return match.ok() && match->found && match->begin == 0 && match->end == text.size();
}

TEST(Regex, ReadsPatternsAsOniguruma) {
  EXPECT_TRUE(Matches(R"(\s)", "\xE3\x80\x80")) << "U+3000";
  EXPECT_FALSE(Matches(R"(\s)", "\xE1\xA0\x8E")) << "U+180E is no space since Unicode 6.3";
  EXPECT_TRUE(Matches(R"([^\s]+)", "\xE1\xA0\x8E"));
  EXPECT_TRUE(Matches(R"(\S+)", "\xE1\xA0\x8E"));
  EXPECT_TRUE(Matches(R"(\w+)", "e\xCC\x81_9"));
  EXPECT_TRUE(Matches(R"(\h+)", "09afAF")) << "a hex digit, not a blank";
  EXPECT_TRUE(Matches(R"((?i:'s))", "'\xC5\xBF")) << "U+017F folds to s";
  EXPECT_TRUE(Matches(R"([\]\[a])", "["));
  EXPECT_TRUE(Matches(R"([[:alpha:]]+)", "ab"));
}

TEST(Regex, RefusesWhatItWouldReadDifferently) {
  for (const char* pattern : {"[a[bc]]", "[a-z&&[^b]]", "(", "a\\", "[a", "\\C", "a{2,1}", "[\\H]"}) {
    auto regex = CompileOniguruma(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.status().code(), StatusCode::kInvalidArgument) << pattern;
  }
}

TEST(Regex, BoundsThePattern) {
  EXPECT_TRUE(CompileOniguruma("a?" + std::string(limits::kMaxPatternBytes - 2, ' ')).ok() ||
              CompileOniguruma(std::string(1000, 'a')).ok());
  EXPECT_FALSE(CompileOniguruma(std::string(limits::kMaxPatternBytes + 1, 'a')).ok());
}

// Catastrophic backtracking ends in a Status (an Oniguruma tokenizer would not end).
TEST(Regex, GivesUpInsteadOfHanging) {
  auto regex = CompileOniguruma("^(a+)+$");
  ASSERT_TRUE(regex.ok());
  RegexScratch scratch;
  auto match = regex->Find(std::string(100, 'a') + "!", 0, &scratch);
  ASSERT_FALSE(match.ok());
  EXPECT_EQ(match.status().code(), StatusCode::kResourceExhausted);
  auto next = regex->Find("aaa", 0, &scratch);
  EXPECT_TRUE(next.ok() && next->found) << "the scratch is good for the next match";
}

std::string Form(std::u32string_view in, UnicodeForm form) {
  std::string text, out;
  for (const char32_t c : in) AppendUtf8(c, &text);
  EXPECT_TRUE(AppendUnicodeForm(text, form, &out).ok());
  return out;
}

std::string U8(std::u32string_view in) {
  std::string out;
  for (const char32_t c : in) AppendUtf8(c, &out);
  return out;
}

// Figure 6 of UAX #15 and its neighbours.
TEST(UnicodeForm, MatchesTheStandardsExamples) {
  const std::u32string_view in = U"\u1E9B\u0323";
  EXPECT_EQ(Form(in, UnicodeForm::kNfd), U8(U"\u017F\u0323\u0307"));
  EXPECT_EQ(Form(in, UnicodeForm::kNfc), U8(U"\u1E9B\u0323"));
  EXPECT_EQ(Form(in, UnicodeForm::kNfkd), U8(U"s\u0323\u0307"));
  EXPECT_EQ(Form(in, UnicodeForm::kNfkc), U8(U"\u1E69"));
  EXPECT_EQ(Form(U"\uFB01\u00B2", UnicodeForm::kNfkc), "fi2");
  EXPECT_EQ(Form(U"\u1100\u1161\u11A8", UnicodeForm::kNfc), U8(U"\uAC01"));
  EXPECT_EQ(Form(U"\u0344", UnicodeForm::kNfc), U8(U"\u0308\u0301")) << "a composition exclusion";
}

TEST(UnicodeForm, SortsManyMarksInLinearTime) {
  std::u32string in = U"a";
  for (int i = 0; i < 200'000; ++i) in += i % 2 == 0 ? U'\u0301' : U'\u0323';
  std::u32string want = U"\u1EA1";
  want += std::u32string(99'999, U'\u0323') + std::u32string(100'000, U'\u0301');
  EXPECT_EQ(Form(in, UnicodeForm::kNfc), U8(want));
}

}  // namespace
}  // namespace bitrate::text
