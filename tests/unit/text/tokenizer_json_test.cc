// tokenizer.json files that are wrong, too much, or ask for what is not supported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/limits.h"
#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Status LoadStatus(const std::string& text, const std::string& config = "") {
  return Tokenizer::FromTokenizerJson(text, config).status();
}
Status LoadStatus(const json& file, const std::string& config = "") { return LoadStatus(file.dump(), config); }

struct BadFile {
  const char* name;
  const char* pointer;  // where in ByteTokenizer({"a b"})
  const char* value;    // JSON put there
  StatusCode code;
  const char* message;
};

constexpr StatusCode kBad = StatusCode::kInvalidArgument;
constexpr StatusCode kNo = StatusCode::kFailedPrecondition;

const BadFile kBadFiles[] = {
    {"model_missing", "/model", "null", kBad, "model: missing"},
    {"model_type", "/model/type", "7", kBad, "type: got number"},
    {"model_wordpiece", "/model/type", "\"WordPiece\"", kNo, "\"WordPiece\" is not supported"},
    {"vocab_missing", "/model/vocab", "null", kBad, "vocab: missing"},
    {"vocab_array", "/model/vocab", "[]", kBad, "vocab: got array"},
    {"vocab_id_text", "/model/vocab/x", "\"1\"", kBad, "vocab: got string"},
    {"vocab_id_negative", "/model/vocab/xx", "-1", kBad, "id -1 is out of range"},
    {"vocab_id_twice", "/model/vocab/xx", "7", kBad, "id 7 belongs to two tokens"},
    {"vocab_id_huge", "/model/vocab/xx", "2000000000", kBad, "id 2000000000 is out of range"},
    {"vocab_id_fraction", "/model/vocab/xx", "1.5", kBad, "want an integer"},
    {"merges_missing", "/model/merges", "null", kBad, "merges: missing"},
    {"merge_number", "/model/merges/0", "3", kBad, "merges[0]"},
    {"merge_three", "/model/merges/0", "[\"a\", \"b\", \"c\"]", kBad, "merges[0]"},
    {"merge_no_space", "/model/merges/0", "\"ab\"", kBad, "merges[0]"},
    {"merge_unknown", "/model/merges/0", "[\"a\", \"zz\"]", kBad, "merges[0]: \"zz\" is not in the vocabulary"},
    {"merge_result", "/model/merges/0", "\"b a\"", kBad, "merges[0]: \"ba\" is not in the vocabulary"},
    {"prefix", "/model/continuing_subword_prefix", "\"##\"", kNo, "continuing_subword_prefix"},
    {"suffix", "/model/end_of_word_suffix", "\"</w>\"", kNo, "end_of_word_suffix"},
    {"dropout", "/model/dropout", "0.1", kNo, "dropout"},
    {"fallback_with_bytes", "/model/byte_fallback", "true", kNo, "byte_fallback"},
    {"fallback_text", "/model/byte_fallback", "\"yes\"", kBad, "byte_fallback: got string"},
    {"normalizer_type", "/normalizer", "{}", kBad, "normalizer: type: missing"},
    {"normalizer_kind", "/normalizer", R"({"type": "Precompiled"})", kNo, "\"Precompiled\" is not supported"},
    {"normalizer_array", "/normalizer", "[1]", kBad, "normalizer"},
    {"sequence_missing", "/normalizer", R"({"type": "Sequence"})", kBad, "normalizers: missing"},
    {"sequence_member", "/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, 3]})", kBad,
     "normalizers[1]"},
    {"replace_pattern", "/normalizer", R"({"type": "Replace", "content": ""})", kBad, "pattern: missing"},
    {"replace_regex", "/normalizer", R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})", kBad,
     "pattern.Regex"},
    {"pre_kind", "/pre_tokenizer", R"({"type": "UnicodeScripts"})", kNo, "\"UnicodeScripts\" is not supported"},
    {"pre_behavior", "/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"})", kBad,
     "behavior"},
    {"pre_after_bytes", "/pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})", kNo, "after ByteLevel"},
    {"metaspace_two", "/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})", kBad, "want one character"},
    {"metaspace_scheme", "/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"})", kBad,
     "prepend_scheme"},
    {"decoder_kind", "/decoder", R"({"type": "CTC"})", kNo, "\"CTC\" is not supported"},
    {"decoder_regex", "/decoder", R"({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""})", kNo,
     "not supported in a decoder"},
    {"decoder_order", "/decoder", R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
     kNo, "decoder: ByteFallback after Fuse"},
    {"decoder_strip", "/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", kBad,
     "start: got -1"},
    {"post_kind", "/post_processor", R"({"type": "Odd"})", kNo, "post_processor"},
    {"post_unknown", "/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})", kBad,
     "single[0]: \"<s>\" is not in special_tokens"},
    {"post_no_text", "/post_processor", R"({"type": "TemplateProcessing", "single": []})", kBad, "no Sequence"},
    {"post_id", "/post_processor", R"({"type": "BertProcessing", "cls": ["a", 9999], "sep": ["b", 1]})", kBad,
     "id 9999 is no token's"},
    {"added_type", "/added_tokens", "{}", kBad, "added_tokens: got object"},
    {"added_no_id", "/added_tokens/0", R"({"content": "<s>"})", kBad, "added_tokens[0]: id: missing"},
    {"added_id_taken", "/added_tokens/0", R"({"id": 7, "content": "<s>"})", kBad, "id 7 belongs to two tokens"},
    {"added_id_huge", "/added_tokens/0", R"({"id": 3999999, "content": "<s>"})", kBad, "out of range"},
    {"added_no_content", "/added_tokens/0", R"({"id": 300})", kBad, "content: missing"},
};

class BadTokenizerJson : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadTokenizerJson, IsRefusedByName) {
  json file = ByteTokenizer({"a b"});
  ASSERT_TRUE(LoadStatus(file).ok()) << LoadStatus(file);
  file[json::json_pointer(GetParam().pointer)] = json::parse(GetParam().value);
  const Status status = LoadStatus(file);
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_THAT(std::string(ToStd(status.message())), HasSubstr(GetParam().message));
  EXPECT_THAT(std::string(ToStd(status.message())), HasSubstr("tokenizer.json"));
}

INSTANTIATE_TEST_SUITE_P(Files, BadTokenizerJson, ::testing::ValuesIn(kBadFiles),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TokenizerJson, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "3", "null", "{", "{\"model\": 1}", "{\"model\": []}"}) {
    EXPECT_EQ(LoadStatus(std::string(text)).code(), kBad) << text;
  }
}

TEST(TokenizerJson, RefusesABadConfig) {
  const json file = ByteTokenizer();
  for (const char* config : {"[", "[]", R"({"bos_token": 3})", R"({"eos_token": {"lstrip": true}})",
                             R"({"add_bos_token": "x", "bos_token": "a"})", R"({"chat_template": 3})",
                             R"({"chat_template": [{"name": "default"}]})"}) {
    const Status status = LoadStatus(file, config);
    EXPECT_EQ(status.code(), kBad) << config;
    EXPECT_THAT(std::string(ToStd(status.message())), HasSubstr("tokenizer_config.json")) << config;
  }
}

TEST(TokenizerJson, UnigramIsChecked) {
  const auto unigram = [](const char* vocab, const char* unk) {
    return LoadStatus(std::string(R"({"model": {"type": "Unigram", "vocab": )") + vocab + R"(, "unk_id": )" + unk +
                      "}}");
  };
  EXPECT_TRUE(unigram(R"([["a", -1], ["<unk>", 0]])", "1").ok());
  EXPECT_TRUE(unigram("[]", "null").ok());
  EXPECT_EQ(unigram(R"([["a", -1]])", "1").code(), kBad);
  EXPECT_EQ(unigram(R"([["a", -1]])", "-1").code(), kBad);
  EXPECT_EQ(unigram(R"([["a"]])", "0").code(), kBad);
  EXPECT_EQ(unigram(R"([["a", "b"]])", "0").code(), kBad);
  EXPECT_EQ(unigram(R"({"a": 1})", "0").code(), kBad);
  const auto no_unk = Load(json::parse(R"({"model": {"type": "Unigram", "vocab": [["a", -1]]}})"));
  EXPECT_EQ(MustEncode(*no_unk, "aa"), (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(no_unk->Encode("ab").status().code(), kBad);
}

// Every bound at its limit and one past it.
void ExpectEdge(const json& at_limit, const json& past_limit) {
  EXPECT_TRUE(LoadStatus(at_limit).ok()) << LoadStatus(at_limit);
  EXPECT_FALSE(LoadStatus(past_limit).ok());
}

TEST(TokenizerJson, BoundsComponents) {
  const auto wide = [](int members) {
    json file = ByteTokenizer();
    file["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
    for (int i = 0; i < members; ++i) file["normalizer"]["normalizers"].push_back({{"type", "NFC"}});
    return file;
  };
  ExpectEdge(wide(limits::kMaxTokenizerNodes - 1), wide(limits::kMaxTokenizerNodes));
  const auto deep = [](int levels) {
    json file = ByteTokenizer();
    json node = {{"type", "NFC"}};
    for (int i = 1; i < levels; ++i) node = {{"type", "Sequence"}, {"normalizers", json::array({node})}};
    file["normalizer"] = node;
    return file;
  };
  ExpectEdge(deep(limits::kMaxTokenizerDepth), deep(limits::kMaxTokenizerDepth + 1));
}

TEST(TokenizerJson, BoundsVocabularyHoles) {
  const auto with_id = [](int id) {
    json file = ByteTokenizer();
    file["model"]["vocab"]["xx"] = id;
    return file;
  };
  ExpectEdge(with_id(256 + limits::kMaxVocabHoles), with_id(257 + limits::kMaxVocabHoles));
}

TEST(TokenizerJson, BoundsAddedTokens) {
  const auto with_length = [](size_t bytes) {
    json file = ByteTokenizer();
    file["added_tokens"] = {{{"id", 300}, {"content", std::string(bytes, 'x')}}};
    return file;
  };
  ExpectEdge(with_length(limits::kMaxMatchedTokenBytes), with_length(limits::kMaxMatchedTokenBytes + 1));
  const auto with_count = [](size_t count) {
    json file = ByteTokenizer();
    for (size_t i = 0; i < count; ++i) {
      file["added_tokens"].push_back({{"id", 300 + i}, {"content", fmt::format("<{}>", i)}});
    }
    return file;
  };
  ExpectEdge(with_count(limits::kMaxAddedTokens), with_count(limits::kMaxAddedTokens + 1));
}

TEST(TokenizerJson, BoundsUnigramTokensAndTemplates) {
  const auto unigram = [](size_t bytes) {
    const json entry = json::array({std::string(bytes, 'x'), -1.0});
    return json{{"model", {{"type", "Unigram"}, {"vocab", json::array({entry})}}}};
  };
  ExpectEdge(unigram(limits::kMaxMatchedTokenBytes), unigram(limits::kMaxMatchedTokenBytes + 1));
  const auto around = [](size_t count) {
    json file = ByteTokenizer();
    file["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                              {"special_tokens", {{"<s>", {{"ids", std::vector<int>(count, 5)}}}}}};
    return file;
  };
  ExpectEdge(around(limits::kMaxTokensAround), around(limits::kMaxTokensAround + 1));
  const json file = ByteTokenizer();
  const auto config = [](size_t bytes) { return json{{"chat_template", std::string(bytes, 'x')}}.dump(); };
  EXPECT_TRUE(LoadStatus(file, config(limits::kMaxTemplateBytes)).ok());
  EXPECT_FALSE(LoadStatus(file, config(limits::kMaxTemplateBytes + 1)).ok());
}

TEST(TokenizerJson, BoundsMerges) {
  json file = ByteTokenizer({"a b"});
  std::string merges = "[";
  for (size_t i = 0; i < limits::kMaxMerges; ++i) merges += "\"a b\",";
  const std::string before = R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": )";
  EXPECT_TRUE(LoadStatus(before + merges.substr(0, merges.size() - 1) + "]}}").ok());
  EXPECT_FALSE(LoadStatus(before + merges + "\"a b\"]}}").ok());
}

// A file whose pattern backtracks without end: it loads, and encoding says so.
TEST(TokenizerJson, CatastrophicPatternsEnd) {
  json file = ByteTokenizer();
  file["pre_tokenizer"] = json::parse(R"({"type": "Split", "pattern": {"Regex": "^(a+)+$"}, "behavior": "Isolated"})");
  const auto tokenizer = Load(file);
  EXPECT_EQ(tokenizer->Encode(std::string(60, 'a') + "!").status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace bitrate::testing
