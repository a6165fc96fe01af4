// Normalizers and pre-tokenizers by themselves.
#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "engine/text/added_tokens.h"
#include "engine/text/normalizer.h"
#include "engine/text/oniguruma.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

using Strings = std::vector<std::string>;

Strings Pieces(const PreTokenizer& pre_tokenizer, std::string_view text, bool at_start = true) {
  PieceList list(text, at_start);
  RegexScratch scratch;
  const Status status = pre_tokenizer.Apply(&list, &scratch);
  EXPECT_TRUE(status.ok()) << status;
  Strings out;
  for (const Piece& piece : list.pieces()) out.emplace_back(list[piece]);
  return out;
}

TextPattern Literal(std::string text) { return {std::move(text), std::nullopt}; }
TextPattern Pattern(std::string_view pattern) {
  auto regex = CompileOniguruma(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  return {{}, std::move(*regex)};
}

// The table of the Hugging Face documentation of SplitDelimiterBehavior.
TEST(Split, EachBehaviour) {
  const std::pair<SplitBehavior, Strings> kTable[] = {
      {SplitBehavior::kRemoved, {"the", "final", "countdown"}},
      {SplitBehavior::kIsolated, {"the", "-", "final", "-", "-", "countdown"}},
      {SplitBehavior::kMergedWithPrevious, {"the-", "final-", "-", "countdown"}},
      {SplitBehavior::kMergedWithNext, {"the", "-final", "-", "-countdown"}},
      {SplitBehavior::kContiguous, {"the", "-", "final", "--", "countdown"}}};
  for (const auto& [behavior, want] : kTable) {
    EXPECT_EQ(Pieces(*MakeSplit(Literal("-"), behavior, false), "the-final--countdown"), want);
    EXPECT_EQ(Pieces(*MakeSplit(Pattern("-"), behavior, false), "the-final--countdown"), want);
    EXPECT_EQ(Pieces(*MakeSplit(Pattern("[a-z]+"), behavior, true), "the-final--countdown").front(), want.front());
  }
  EXPECT_EQ(Pieces(*MakeSplit(Pattern("[a-z]+"), SplitBehavior::kRemoved, true), "the-final--countdown"),
            (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(Pieces(*MakeSplit(Literal(""), SplitBehavior::kIsolated, false), "ab"), (Strings{"ab"}));
}

TEST(Split, EmptyMatchesCutWithoutLooping) {
  EXPECT_EQ(Pieces(*MakeSplit(Pattern("(?=b)"), SplitBehavior::kIsolated, false), "abab"), (Strings{"a", "ba", "b"}));
  EXPECT_EQ(Pieces(*MakeSplit(Pattern("x*"), SplitBehavior::kIsolated, false), "\xC3\xA9"), (Strings{"\xC3\xA9"}));
}

// From the documentation of the GPT-2 split.
TEST(Split, Gpt2Rule) {
  const auto split = MakeSplit(Pattern(kGpt2Pattern), SplitBehavior::kIsolated, false);
  EXPECT_EQ(Pieces(*split, "Hello my friend, how is your day going?"),
            (Strings{"Hello", " my", " friend", ",", " how", " is", " your", " day", " going", "?"}));
  EXPECT_EQ(Pieces(*split, "it's  12\n\nx "), (Strings{"it", "'s", " ", " 12", "\n", "\n", "x", " "}));
}

TEST(CharSplit, DigitsAndPunctuation) {
  EXPECT_EQ(Pieces(*MakeCharSplit(&IsNumeric, SplitBehavior::kIsolated), "Call 911!"),
            (Strings{"Call ", "9", "1", "1", "!"}));
  EXPECT_EQ(Pieces(*MakeCharSplit(&IsNumeric, SplitBehavior::kContiguous), "Call 911!"),
            (Strings{"Call ", "911", "!"}));
  EXPECT_EQ(Pieces(*MakeCharSplit(&IsPunctuation, SplitBehavior::kIsolated), "a?b"), (Strings{"a", "?", "b"}));
  EXPECT_EQ(Pieces(*MakeCharSplit(&IsWhitespace, SplitBehavior::kRemoved), " a\t b\n"), (Strings{"a", "b"}));
}

TEST(Metaspace, PrependsByScheme) {
  const std::string u = "\xE2\x96\x81";
  const auto make = [&](PrependScheme scheme, bool split) { return MakeMetaspace(u, scheme, split); };
  EXPECT_EQ(Pieces(*make(PrependScheme::kAlways, true), "Hey   friend!"), (Strings{u + "Hey", u, u, u + "friend!"}));
  EXPECT_EQ(Pieces(*make(PrependScheme::kAlways, false), " a b"), (Strings{u + "a" + u + "b"}));
  EXPECT_EQ(Pieces(*make(PrependScheme::kNever, false), "a b"), (Strings{"a" + u + "b"}));
  EXPECT_EQ(Pieces(*make(PrependScheme::kFirst, false), "a", true), (Strings{u + "a"}));
  EXPECT_EQ(Pieces(*make(PrependScheme::kFirst, false), "a", false), (Strings{"a"}));
  EXPECT_EQ(Pieces(*make(PrependScheme::kAlways, true), ""), Strings{});
}

std::string Normalize(const Normalizer& normalizer, std::string text) {
  NormalizedText normalized{std::move(text), {}};
  const Status status = normalizer.Apply(&normalized);
  EXPECT_TRUE(status.ok()) << status;
  return normalized.text;
}

TEST(Normalizer, EachKind) {
  EXPECT_EQ(Normalize(*MakePrepend("_"), "a"), "_a");
  EXPECT_EQ(Normalize(*MakePrepend("_"), ""), "");
  EXPECT_EQ(Normalize(*MakeReplace(Literal(" "), "_"), " a  b"), "_a__b");
  EXPECT_EQ(Normalize(*MakeReplace(Pattern(" {2,}"), " "), "a   b c"), "a b c");
  EXPECT_EQ(Normalize(*MakeReplace(Literal(""), "x"), "ab"), "ab");
  EXPECT_EQ(Normalize(*MakeStrip(true, true), "\xC2\xA0 a b \n"), "a b");
  EXPECT_EQ(Normalize(*MakeStrip(true, false), " a "), "a ");
  EXPECT_EQ(Normalize(*MakeStrip(false, true), "   "), "");
  EXPECT_EQ(Normalize(*MakeLowercase(), "A\xC3\x89\xC4\xB0"), "a\xC3\xA9i\xCC\x87");
  EXPECT_EQ(Normalize(*MakeStripAccents(), "e\xCC\x81x"), "ex");
  EXPECT_EQ(Normalize(*MakeByteLevelNormalizer(), " a\n"),
            "\xC4\xA0"
            "a\xC4\x8A");
  EXPECT_EQ(Normalize(*MakeUnicodeNormalizer(UnicodeForm::kNfc), "xe\xCC\x81y"), "x\xC3\xA9y");
  EXPECT_EQ(Normalize(*MakeUnicodeNormalizer(UnicodeForm::kNfc), "A\xE0\xBD\xB3\xCC\x81"),
            "\xC3\x81\xE0\xBD\xB1\xE0\xBD\xB2")
      << "U+0F73 is two marks, so the accent after it still meets the letter";
}

TEST(Normalizer, ReplaceIsBounded) {
  const std::string text(limits::kMaxNormalizedBytes / 64, 'a');
  EXPECT_EQ(Normalize(*MakeReplace(Literal("a"), std::string(64, 'b')), text).size(), limits::kMaxNormalizedBytes);
  NormalizedText over{text + "a", {}};
  EXPECT_EQ(MakeReplace(Literal("a"), std::string(64, 'b'))->Apply(&over).code(), StatusCode::kResourceExhausted);
}

// Marks of literal bytes move with the bytes.
TEST(Normalizer, KeepsLiteralMarksInStep) {
  NormalizedText text{"ab e\xCC\x81 c", {0, 1, 0, 0, 1, 1, 0, 1}};
  std::vector<std::unique_ptr<Normalizer>> members;
  members.push_back(MakeUnicodeNormalizer(UnicodeForm::kNfc));
  members.push_back(MakeReplace(Literal(" "), "__"));
  members.push_back(MakePrepend("^"));
  ASSERT_TRUE(MakeNormalizerSequence(std::move(members))->Apply(&text).ok());
  EXPECT_EQ(text.text, "^ab__\xC3\xA9__c");
  EXPECT_EQ(text.literal, (std::vector<uint8_t>{0, 0, 1, 0, 0, 1, 1, 0, 0, 1}));
}

}  // namespace
}  // namespace bitrate::text
