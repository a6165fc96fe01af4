// The interface of Tokenizer beyond what the golden rows cover.
#include "engine/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "engine/base/limits.h"
#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using Ids = std::vector<int32_t>;

TEST(Tokenizer, DescribesItsTokens) {
  const auto tokenizer = GoldenTokenizer("smollm2");
  EXPECT_EQ(tokenizer->vocab_size(), 49152);
  EXPECT_EQ(tokenizer->TokenToId("<|im_start|>"), 1);
  EXPECT_EQ(tokenizer->TokenText(1), "<|im_start|>");
  EXPECT_TRUE(tokenizer->IsSpecial(1));
  EXPECT_EQ(tokenizer->TokenToId("\xC4\xA0world"), 905);
  EXPECT_EQ(tokenizer->TokenBytes(905), " world");
  EXPECT_FALSE(tokenizer->IsSpecial(905));
  EXPECT_EQ(tokenizer->TokenToId("no such token"), std::nullopt);
  for (const int32_t id : {-1, 49152, 1 << 30}) {
    EXPECT_FALSE(tokenizer->HasToken(id));
    EXPECT_FALSE(tokenizer->IsSpecial(id));
    EXPECT_EQ(tokenizer->TokenText(id), "");
    EXPECT_EQ(tokenizer->TokenBytes(id), "");
  }
  const auto llama = GoldenTokenizer("llama2");
  EXPECT_EQ(llama->TokenBytes(*llama->TokenToId("<0xE2>")), "\xE2");
  EXPECT_EQ(llama->TokenBytes(*llama->TokenToId("\xE2\x96\x81the")), " the");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = Load(ByteTokenizer());
  for (const char* text : {"ab\xFF", "\xC3", "\xED\xA0\x80", "\xC0\x80"}) {
    auto ids = tokenizer->Encode(text);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(ToStd(tokenizer->Encode("ab\xFF").status().message())), HasSubstr("byte 2"));
  EXPECT_EQ(MustEncode(*tokenizer, std::string("a\0b", 3)), (Ids{'a', 0, 'b'}));
}

TEST(Tokenizer, BoundsTheText) {
  const auto tokenizer = GoldenTokenizer("unigram");
  std::string text(limits::kMaxTokenizeBytes, ' ');  // its normalizer makes one space of them
  EXPECT_EQ(MustEncode(*tokenizer, text, {.add_special_tokens = false}).size(), 1u);
  text += ' ';
  EXPECT_EQ(tokenizer->Encode(text).status().code(), StatusCode::kInvalidArgument);
}

TEST(Tokenizer, RefusesIdsThatAreNoTokens) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}}};
  const auto tokenizer = Load(file);
  for (const int32_t id : {-1, 256, 299, 301, INT32_MAX, INT32_MIN}) {
    auto text = tokenizer->Decode(Ids{'a', id}, false);
    ASSERT_FALSE(text.ok()) << id;
    EXPECT_THAT(std::string(ToStd(text.status().message())), HasSubstr("ids[1]"));
  }
}

// Long words go through the heap: the ids are those of merging in the file's order, however long the word.
TEST(Tokenizer, MergesLongWords) {
  const auto tokenizer = Load(ByteTokenizer({"a a", "aa aa", "b a"}));
  EXPECT_EQ(MustEncode(*tokenizer, std::string(4001, 'a')).size(), 1001u);
  EXPECT_EQ(MustEncode(*tokenizer, "baaaa"), (Ids{'b', 257})) << "the better merge comes first, then it is too late";
  EXPECT_EQ(MustEncode(*tokenizer, "baaa"), (Ids{'b', 256, 'a'}));
  EXPECT_EQ(MustEncode(*tokenizer, "ba"), (Ids{258}));
}

TEST(Tokenizer, ReadsTheConfig) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}},
                          {{"id", 301}, {"content", "</s>"}, {"special", true}}};
  const auto bare = Load(file);
  EXPECT_EQ(bare->bos_id(), std::nullopt);
  EXPECT_TRUE(bare->end_ids().empty());
  const auto tokenizer = Load(file, R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
      "pad_token": null, "unk_token": "absent", "model_max_length": 1000000000000000019884624838656,
      "chat_template": "{{ x }}"})");
  EXPECT_EQ(tokenizer->bos_id(), 300);
  EXPECT_EQ(tokenizer->eos_id(), 301);
  EXPECT_EQ(tokenizer->end_ids(), Ids{301});
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
  EXPECT_EQ(tokenizer->unk_id(), std::nullopt);
  EXPECT_EQ(tokenizer->chat_template(), "{{ x }}");
  EXPECT_FALSE(tokenizer->AddsBos());
  const auto named = Load(file, R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                                      {"name": "default", "template": "d"}]})");
  EXPECT_EQ(named->chat_template(), "d");
}

TEST(Tokenizer, ConfigOverridesThePostProcessor) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}},
                          {{"id", 301}, {"content", "</s>"}, {"special", true}}};
  const std::string names = R"("bos_token": "<s>", "eos_token": "</s>")";
  const auto both = Load(file, "{" + names + R"(, "add_bos_token": true, "add_eos_token": true})");
  EXPECT_EQ(MustEncode(*both, "a"), (Ids{300, 'a', 301}));
  EXPECT_TRUE(both->AddsBos());
  EXPECT_TRUE(both->AddsEos());
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {300}}, {"tokens", {"<s>"}}}}}}};
  EXPECT_EQ(MustEncode(*Load(file), "a"), (Ids{300, 'a'}));
  EXPECT_EQ(Load(file)->bos_id(), 300) << "the one token put first";
  EXPECT_EQ(MustEncode(*Load(file, "{" + names + R"(, "add_bos_token": true})"), "a"), (Ids{300, 'a'})) << "not twice";
  EXPECT_EQ(MustEncode(*Load(file, "{" + names + R"(, "add_bos_token": false})"), "a"), (Ids{'a'}));
}

TEST(Tokenizer, SingleBos) {
  const auto tokenizer = GoldenTokenizer("llama3");
  ASSERT_TRUE(tokenizer->AddsBos());
  const std::string text = "<|begin_of_text|>a";
  const int32_t bos = *tokenizer->bos_id();
  EXPECT_EQ(MustEncode(*tokenizer, text)[1], bos) << "as Hugging Face";
  const Ids once = MustEncode(*tokenizer, text, {.single_bos = true});
  EXPECT_EQ(once, MustEncode(*tokenizer, text, {.add_special_tokens = false}));
  EXPECT_EQ(MustEncode(*tokenizer, "a", {.single_bos = true}), MustEncode(*tokenizer, "a"));
  const std::vector<ByteRange> all = {{0, text.size()}};
  EncodeOptions options{.single_bos = true};
  options.literal = all;
  EXPECT_EQ(MustEncode(*tokenizer, text, options).front(), bos) << "a BOS string that is only text is no BOS";
}

TEST(Tokenizer, IsSharedByThreads) {
  const auto tokenizer = GoldenTokenizer("qwen2");
  const auto rows = GoldenRows("qwen2");
  std::vector<std::thread> threads;
  std::vector<int> failures(4, 0);
  for (size_t t = 0; t < failures.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < rows.size(); ++i) {
        const json& row = rows[(i + t * 97) % rows.size()];
        auto ids = tokenizer->Encode(row["text"].get<std::string>());
        if (!ids.ok() || *ids != row["ids"].get<Ids>()) ++failures[t];
        auto text = tokenizer->Decode(row["ids"].get<Ids>(), true);
        if (!text.ok() || *text != row["decoded"].get<std::string>()) ++failures[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace bitrate::testing
