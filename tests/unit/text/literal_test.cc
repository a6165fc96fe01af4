// Literal text: special strings in it stay text, everything else encodes as it would anyway.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;

using Ids = std::vector<int32_t>;

Ids EncodeLiteral(const Tokenizer& tokenizer, const std::string& text, const std::vector<ByteRange>& literal) {
  EncodeOptions options{.add_special_tokens = false};
  options.literal = literal;
  return MustEncode(tokenizer, text, options);
}

bool HasSpecial(const Tokenizer& tokenizer, const Ids& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.IsSpecial(id); });
}

class LiteralEveryFile : public ::testing::TestWithParam<std::string> {};

// A user who types every special string of the vocabulary gets none of them, by each of the two ways to ask.
TEST_P(LiteralEveryFile, SpecialStringsStayText) {
  const auto tokenizer = GoldenTokenizer(GetParam());
  std::string typed = "hi ";
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    if (tokenizer->IsSpecial(id)) typed.append(tokenizer->TokenText(id)).append("x ");
  }
  const auto parsed = MustEncode(*tokenizer, typed, {.add_special_tokens = false});
  EXPECT_TRUE(HasSpecial(*tokenizer, parsed));
  const auto literal = EncodeLiteral(*tokenizer, typed, {{0, typed.size()}});
  const auto unk = tokenizer->unk_id();
  for (const int32_t id : literal) {
    EXPECT_TRUE(!tokenizer->IsSpecial(id) || id == unk) << tokenizer->TokenText(id);
  }
  EXPECT_EQ(MustEncode(*tokenizer, typed, {.add_special_tokens = false, .parse_special = false}), literal)
      << "all special tokens are all added tokens here but for qwen2's <tool_call>, which is not typed";
  if (GetParam() != "unigram" && GetParam() != "smollm2") {
    EXPECT_EQ(MustDecode(*tokenizer, literal), typed) << "nothing of the text is lost";
  }
}

// Text without special strings has the same ids literal or not, row by row.
TEST_P(LiteralEveryFile, OtherTextIsUntouched) {
  const auto tokenizer = GoldenTokenizer(GetParam());
  const json info = json::parse(ReadFile(std::string(BITRATE_GOLDEN_DIR) + "/tokenizers/case.json"));
  size_t compared = 0;
  for (const json& row : GoldenRows(GetParam())) {
    const std::string text = row["text"];
    const Ids plain = row.contains("plain") ? row["plain"] : row["ids"];
    bool special = HasSpecial(*tokenizer, plain);
    for (const auto& token : info["tokenizers"][GetParam()]["specials"]) {
      special = special || text.find(token.get<std::string>()) != std::string::npos;
    }
    if (special) continue;
    ++compared;
    EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{0, text.size()}}), plain) << Quote(text);
  }
  EXPECT_GT(compared, 100u);
}

INSTANTIATE_TEST_SUITE_P(Files, LiteralEveryFile,
                         ::testing::Values("smollm2", "llama3", "gpt2", "qwen2", "llama2", "llama2_metaspace", "gemma",
                                           "unigram"),
                         [](const auto& info) { return info.param; });

// Only markup outside the literal range counts; a match that reaches into it does not.
TEST(Literal, MarksOnlyItsRange) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}},
                          {{"id", 301}, {"content", "<s><s>"}, {"special", true}}};
  const auto tokenizer = Load(file);
  const std::string text = "<s><s>";
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {}), Ids{301});
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{3, 6}}), (Ids{300, '<', 's', '>'})) << "the shorter match is left";
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{0, 1}}), (Ids{'<', 's', '>', 300}));
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{2, 3}, {5, 6}}), (Ids{'<', 's', '>', '<', 's', '>'}));
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{3, 3}}), Ids{301}) << "an empty range marks nothing";
}

// The rule also holds where tokens are found in normalized text, whose bytes are not those of the input.
TEST(Literal, FollowsTheNormalizer) {
  json file = ByteTokenizer();
  file["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "NFC"}}, {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "__"}}}}};
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}, {"normalized", true}}};
  const auto tokenizer = Load(file);
  const std::string text = " e\xCC\x81 <s> <s>";
  const Ids head = {'_', '_', 0xC3, 0xA9, '_', '_'};
  const auto with = [&](Ids tail) {
    tail.insert(tail.begin(), head.begin(), head.end());
    return tail;
  };
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {}), with({300, '_', '_', 300}));
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{0, 6}}), with({'<', 's', '>', '_', '_', 300}));
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{9, 12}}), with({300, '_', '_', '<', 's', '>'}));
}

// Added tokens that are only white space are spelling: literal text keeps them, unless they are special.
TEST(Literal, WhiteSpaceTokensAreSpelling) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "  "}, {"special", false}, {"normalized", false}},
                          {{"id", 301}, {"content", "\t\t"}, {"special", true}},
                          {{"id", 302}, {"content", "<b>"}, {"special", false}, {"normalized", false}}};
  const auto tokenizer = Load(file);
  const std::string text = "a  b\t\t<b>";
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {}), (Ids{'a', 300, 'b', 301, 302}));
  EXPECT_EQ(EncodeLiteral(*tokenizer, text, {{0, text.size()}}), (Ids{'a', 300, 'b', '\t', '\t', '<', 'b', '>'}));
  EXPECT_EQ(MustEncode(*tokenizer, text, {.add_special_tokens = false, .parse_special = false}),
            (Ids{'a', 300, 'b', '\t', '\t', 302}));
}

// Neither a whole-piece lookup nor a merge may end in a special token.
TEST(Literal, TheModelNeverWritesSpecialTokens) {
  json file = ByteTokenizer({"E O", "EO S"});
  file["added_tokens"] = {{{"id", 257}, {"content", "EOS"}, {"special", true}}};
  for (const bool ignore_merges : {false, true}) {
    file["model"]["ignore_merges"] = ignore_merges;
    const auto tokenizer = Load(file);
    EXPECT_EQ(EncodeLiteral(*tokenizer, "EOS", {}), Ids{257});
    EXPECT_EQ(EncodeLiteral(*tokenizer, "EOS", {{0, 3}}), (Ids{256, 'S'}));
  }
}

TEST(Literal, RefusesRangesThatMakeNoSense) {
  const auto tokenizer = Load(ByteTokenizer());
  for (const std::vector<ByteRange>& literal :
       {std::vector<ByteRange>{{0, 6}}, {{3, 2}}, {{2, 4}, {3, 5}}, {{4, 5}, {0, 1}}, {{6, 6}}}) {
    EncodeOptions options;
    options.literal = literal;
    auto ids = tokenizer->Encode("hello", options);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace bitrate::testing
