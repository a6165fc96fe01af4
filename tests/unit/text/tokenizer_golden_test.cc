// Every row that the Hugging Face tokenizers library made, for each tokenizer file: ids with and without the tokens
// around the text, both decodings, and the pieces of the stream. Row format: tests/golden/tokenizers/case.json.
#include <gtest/gtest.h>

#include "engine/text/detokenizer.h"
#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;

class TokenizerGolden : public ::testing::TestWithParam<std::string> {};

std::vector<std::string> Stream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids) {
  IncrementalDetokenizer stream(tokenizer, /*skip_special=*/true);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(stream.Push(id));
  std::string last = stream.Flush();
  if (!last.empty()) pieces.push_back(std::move(last));
  return pieces;
}

TEST_P(TokenizerGolden, EveryRow) {
  const auto tokenizer = GoldenTokenizer(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const json info = json::parse(ReadFile(std::string(BITRATE_GOLDEN_DIR) + "/tokenizers/case.json"));
  const auto rows = GoldenRows(GetParam());
  ASSERT_EQ(rows.size(), info["tokenizers"][GetParam()]["rows"].get<size_t>());
  EXPECT_EQ(tokenizer->vocab_size(), info["tokenizers"][GetParam()]["vocab"].get<int>());
  for (const json& row : rows) {
    const std::string text = row["text"];
    SCOPED_TRACE("row " + row["n"].dump() + " " + row["cat"].get<std::string>() + ": " + Quote(text));
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    const auto plain = row.contains("plain") ? row["plain"].get<std::vector<int32_t>>() : ids;
    const std::string decoded = row["decoded"];
    const std::string raw = row.contains("raw") ? row["raw"].get<std::string>() : decoded;
    EXPECT_EQ(MustEncode(*tokenizer, text), ids);
    EXPECT_EQ(MustEncode(*tokenizer, text, {.add_special_tokens = false}), plain);
    EXPECT_EQ(MustDecode(*tokenizer, ids, /*skip_special=*/true), decoded);
    EXPECT_EQ(MustDecode(*tokenizer, ids, /*skip_special=*/false), raw);
    if (row.contains("stream")) {
      EXPECT_EQ(Stream(tokenizer, plain), row["stream"].get<std::vector<std::string>>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerGolden,
                         ::testing::Values("smollm2", "llama3", "gpt2", "qwen2", "llama2", "llama2_metaspace", "gemma",
                                           "unigram"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace bitrate::testing
