// Tokenizers from GGUF metadata, against the golden rows of the same vocabulary as tokenizer.json.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "engine/base/limits.h"
#include "engine/text/detokenizer.h"
#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> LoadGguf(const GgufVocab& gguf) {
  auto tokenizer = Tokenizer::FromGguf(gguf);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

Ids Plain(const json& row) { return row.contains("plain") ? row["plain"] : row["ids"]; }

void ExpectRows(const Tokenizer& tokenizer, const std::string& name, const std::vector<std::string>& skip = {}) {
  size_t compared = 0;
  for (const json& row : GoldenRows(name)) {
    const std::string text = row["text"];
    bool skipped = false;
    for (const std::string& word : skip) skipped = skipped || text.find(word) != std::string::npos;
    if (skipped) continue;
    ++compared;
    SCOPED_TRACE("row " + row["n"].dump() + ": " + Quote(text));
    EXPECT_EQ(MustEncode(tokenizer, text), row["ids"].get<Ids>());
    EXPECT_EQ(MustEncode(tokenizer, text, {.add_special_tokens = false}), Plain(row));
    EXPECT_EQ(MustDecode(tokenizer, row["ids"], true), row["decoded"].get<std::string>());
  }
  EXPECT_GT(compared, 250u);
}

TEST(GgufTokenizer, Smollm) {
  GgufVocab gguf = GgufFromGolden("smollm2", "gpt2", "smollm");
  gguf.add_bos = false;
  gguf.bos_id = 1;
  gguf.eos_id = 2;
  gguf.unk_id = 0;
  gguf.pad_id = 2;
  gguf.chat_template = "{{ t }}";
  const auto tokenizer = LoadGguf(gguf);
  ExpectRows(*tokenizer, "smollm2");
  EXPECT_EQ(tokenizer->vocab_size(), 49152);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->end_ids(), Ids{2});
  EXPECT_EQ(tokenizer->chat_template(), "{{ t }}");
  EXPECT_FALSE(tokenizer->AddsBos());
}

TEST(GgufTokenizer, Llama3IgnoresMergesAndAddsBos) {
  GgufVocab gguf = GgufFromGolden("llama3", "gpt2", "llama-bpe");
  gguf.bos_id = 0;
  gguf.eos_id = 4;
  gguf.eot_id = 4;
  gguf.eom_id = 1;
  const auto tokenizer = LoadGguf(gguf);
  ExpectRows(*tokenizer, "llama3");
  EXPECT_TRUE(tokenizer->AddsBos()) << "the rule's default";
  EXPECT_EQ(tokenizer->end_ids(), (Ids{1, 4}));
  gguf.add_bos = false;
  EXPECT_FALSE(LoadGguf(gguf)->AddsBos());
  gguf.add_eos = true;
  EXPECT_TRUE(LoadGguf(gguf)->AddsEos());
}

TEST(GgufTokenizer, Gpt2AndQwen2) {
  ExpectRows(*LoadGguf(GgufFromGolden("gpt2", "gpt2", "gpt-2")), "gpt2");
  ExpectRows(*LoadGguf(GgufFromGolden("qwen2", "gpt2", "qwen2")), "qwen2");
}

// llama.cpp's "default" rule cuts punctuation off first and takes digits in threes.
TEST(GgufTokenizer, DefaultRule) {
  GgufVocab gguf = GgufFromGolden("gpt2", "gpt2", "");
  const auto tokenizer = LoadGguf(gguf);
  const auto same = [&](const std::string& text, const std::vector<std::string>& pieces) {
    Ids want;
    const auto plain = GoldenTokenizer("gpt2");
    for (const std::string& piece : pieces) {
      for (const int32_t id : MustEncode(*plain, piece)) want.push_back(id);
    }
    EXPECT_EQ(MustEncode(*tokenizer, text), want) << text;
  };
  same("Hello, world", {"Hello", ",", " world"});
  same("12345", {"123", "45"});
  same("a (b)", {"a", " ", "(", "b", ")"});
}

// Scores that order the tokens as the merges do. The golden rows hold for them but for the tokens that strip white
// space, which GGUF cannot say.
GgufVocab LlamaVocab() {
  GgufVocab gguf = GgufFromGolden("llama2", "llama", "");
  std::map<std::string, float> score;
  for (size_t i = 0; i < gguf.merges.size(); ++i) {
    std::string token = gguf.merges[i];
    token.erase(token.find(' '), 1);
    score.emplace(token, -static_cast<float>(i));
  }
  for (const std::string& token : gguf.tokens) {
    gguf.scores.push_back(score.count(token) != 0 ? score[token] : -1e6f);
  }
  gguf.merges.clear();
  gguf.bos_id = 1;
  gguf.eos_id = 2;
  gguf.unk_id = 0;
  return gguf;
}

TEST(GgufTokenizer, LlamaMergesByScore) {
  const auto tokenizer = LoadGguf(LlamaVocab());
  ExpectRows(*tokenizer, "llama2", {"<|user|>", "<|end|>"});
  EXPECT_TRUE(tokenizer->AddsBos());
}

TEST(GgufTokenizer, LlamaWithoutPrefixSpace) {
  GgufVocab gguf = LlamaVocab();
  gguf.add_space_prefix = false;
  gguf.add_bos = false;
  const auto tokenizer = LoadGguf(gguf);
  const Ids ids = MustEncode(*tokenizer, "the the");
  EXPECT_EQ(MustDecode(*tokenizer, ids), "the the");
  EXPECT_NE(tokenizer->TokenText(ids[0]).substr(0, 3), "\xE2\x96\x81");
  EXPECT_EQ(MustDecode(*tokenizer, MustEncode(*tokenizer, " a")), " a");
}

TEST(GgufTokenizer, ControlTokensAreNeverText) {
  const auto tokenizer = LoadGguf(LlamaVocab());
  const std::string text = "</s><unk><0x0A>";
  EXPECT_EQ(MustEncode(*tokenizer, text, {.add_special_tokens = false})[0], 2);
  const std::vector<ByteRange> all = {{0, text.size()}};
  EncodeOptions options{.add_special_tokens = false};
  options.literal = all;
  const Ids ids = MustEncode(*tokenizer, text, options);
  EXPECT_EQ(MustDecode(*tokenizer, ids), text);
  for (const int32_t id : ids) EXPECT_FALSE(tokenizer->IsSpecial(id));
}

// A user-defined token is stored as text, so its characters are never taken for byte names.
TEST(GgufTokenizer, UserTokensAreText) {
  GgufVocab gguf = GgufFromGolden("gpt2", "gpt2", "gpt-2");
  gguf.tokens.push_back("\xC3\xA9");
  gguf.token_types.push_back(4);
  const auto tokenizer = LoadGguf(gguf);
  const int32_t id = tokenizer->vocab_size() - 1;
  EXPECT_EQ(MustEncode(*tokenizer, "\xC3\xA9"), Ids{id});
  EXPECT_EQ(MustDecode(*tokenizer, {id}), "\xC3\xA9");
}

TEST(GgufTokenizer, RefusesWhatItDoesNotKnow) {
  const auto message = [](const GgufVocab& gguf, StatusCode code) {
    const Status status = Tokenizer::FromGguf(gguf).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(ToStd(status.message()));
  };
  GgufVocab gguf = GgufFromGolden("gpt2", "gpt2", "chameleon");
  EXPECT_THAT(message(gguf, StatusCode::kFailedPrecondition), HasSubstr("tokenizer.ggml.pre: \"chameleon\""));
  gguf.pre = "gpt-2";
  gguf.model = "rwkv";
  EXPECT_THAT(message(gguf, StatusCode::kFailedPrecondition), HasSubstr("tokenizer.ggml.model: \"rwkv\""));
}

TEST(GgufTokenizer, RefusesMalformedMetadata) {
  const auto expect = [](const std::string& field, const auto& edit) {
    GgufVocab gguf = LlamaVocab();
    edit(&gguf);
    const Status status = Tokenizer::FromGguf(gguf).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(ToStd(status.message())), HasSubstr(field));
  };
  expect("tokens: missing", [](GgufVocab* g) { g->tokens.clear(); });
  expect("token_type", [](GgufVocab* g) { g->token_types.pop_back(); });
  expect("scores", [](GgufVocab* g) { g->scores.pop_back(); });
  expect("scores: missing", [](GgufVocab* g) { g->scores.clear(); });
  expect("scores[3]", [](GgufVocab* g) { g->scores[3] = std::nanf(""); });
  expect("bos_token_id", [](GgufVocab* g) { g->bos_id = -1; });
  expect("eos_token_id", [](GgufVocab* g) { g->eos_id = 1 << 20; });
  expect("eot_token_id", [](GgufVocab* g) { g->eot_id = 5000; });
  expect("is not UTF-8", [](GgufVocab* g) { g->tokens[700] = "\xFF"; });
  expect("chat_template", [](GgufVocab* g) { g->chat_template.assign(limits::kMaxTemplateBytes + 1, 'x'); });
  const auto merge = [&](const std::string& text) {
    return [text](GgufVocab* g) {
      *g = GgufFromGolden("gpt2", "gpt2", "gpt-2");
      g->merges[2] = text;
    };
  };
  expect("merges[2]", merge("ab"));
  expect("merges[2]", merge(""));
  expect("merges[2]", merge(" "));
  expect("merges[2]", merge("zzzz a"));
  expect("merges", [](GgufVocab* g) { g->merges.resize(limits::kMaxMerges + 1); });
}

}  // namespace
}  // namespace bitrate::testing
