#include "engine/text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/text/utf8.h"
#include "tests/unit/text/test_util.h"

namespace bitrate::testing {
namespace {

using nlohmann::json;

const std::string kFffd(text::kReplacementUtf8);

std::vector<std::string> Stream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids,
                                bool skip_special = true) {
  IncrementalDetokenizer stream(tokenizer, skip_special);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(stream.Push(id));
  pieces.push_back(stream.Flush());
  return pieces;
}

using Pieces = std::vector<std::string>;

class StreamEveryFile : public ::testing::TestWithParam<std::string> {};

// Ids no text would give: every piece is valid UTF-8 and together they are the one-shot decoding.
TEST_P(StreamEveryFile, RandomIdsAddUp) {
  const auto tokenizer = GoldenTokenizer(GetParam());
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    const int32_t range = round % 2 == 0 ? tokenizer->vocab_size() : std::min(300, tokenizer->vocab_size());
    std::vector<int32_t> ids(random() % 24);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(range));
    for (const bool skip : {true, false}) {
      std::string all;
      for (const std::string& piece : Stream(tokenizer, ids, skip)) {
        EXPECT_EQ(text::FirstInvalidUtf8(piece), std::string::npos);
        all += piece;
      }
      EXPECT_EQ(all, MustDecode(*tokenizer, ids, skip));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, StreamEveryFile,
                         ::testing::Values("smollm2", "llama3", "gpt2", "qwen2", "llama2", "llama2_metaspace", "gemma",
                                           "unigram"),
                         [](const auto& info) { return info.param; });

TEST(Detokenizer, HoldsBackHalfCharacters) {
  const auto tokenizer = Load(ByteTokenizer());
  EXPECT_EQ(Stream(tokenizer, {'a', 0xE2, 0x82, 0xAC, 'b'}), (Pieces{"a", "", "", "\xE2\x82\xAC", "b", ""}));
  EXPECT_EQ(Stream(tokenizer, {0xF0, 0x9F}), (Pieces{"", "", kFffd}));
}

TEST(Detokenizer, InvalidBytesBecomeOneReplacementForEachMaximalPart) {
  const auto tokenizer = Load(ByteTokenizer());
  // What ends in U+FFFD is held until something else follows: that U+FFFD may be half a character.
  EXPECT_EQ(Stream(tokenizer, {0xE2, 0x82, 'A', 0xFF, 0xFE, 'B'}),
            (Pieces{"", "", kFffd + "A", "", "", kFffd + kFffd + "B", ""}));
  EXPECT_EQ(Stream(tokenizer, {0xEF, 0xBF, 0xBD, 'x'}), (Pieces{"", "", "", kFffd + "x", ""}));
  EXPECT_EQ(MustDecode(*tokenizer, {0xE2, 0x82, 'A'}), kFffd + "A");
}

// A vocabulary of byte-fallback tokens: ids 0 to 255 are <0x00> to <0xFF>, 256 "a", 257 "U+2581".
std::shared_ptr<const Tokenizer> FallbackTokenizer() {
  json vocab;
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", b);
    vocab[name] = b;
  }
  vocab["a"] = 256;
  vocab["\xE2\x96\x81"] = 257;
  return Load({{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}, {"byte_fallback", true}}},
               {"decoder",
                {{"type", "Sequence"},
                 {"decoders",
                  {{{"type", "Replace"}, {"pattern", {{"String", "\xE2\x96\x81"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}},
                   {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}}});
}

TEST(Detokenizer, ByteFallbackReplacesEachInvalidByte) {
  const auto tokenizer = FallbackTokenizer();
  EXPECT_EQ(Stream(tokenizer, {0xE2, 0x82, 0xAC, 256}), (Pieces{"", "", "\xE2\x82\xAC", "a", ""}));
  EXPECT_EQ(Stream(tokenizer, {0xE2, 0x82, 256}), (Pieces{"", "", kFffd + kFffd + "a", ""}));
  EXPECT_EQ(MustDecode(*tokenizer, {0xE2, 0x82, 256}), kFffd + kFffd + "a");
  EXPECT_EQ(Stream(tokenizer, {0x41, 0xFF, 0x42}), (Pieces{"A", "", kFffd + "B", ""}));
}

TEST(Detokenizer, DropsTheLeadingSpaceOnlyOnce) {
  const auto tokenizer = FallbackTokenizer();
  EXPECT_EQ(Stream(tokenizer, {257, 257, 256, 257}), (Pieces{"", " ", "a", " ", ""}));
  EXPECT_EQ(Stream(tokenizer, {0x20, 257}), (Pieces{"", " ", ""})) << "a space from a byte counts";
}

TEST(Detokenizer, SkipsSpecialTokensAndUnknownIds) {
  json file = ByteTokenizer();
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}}};
  const auto tokenizer = Load(file);
  EXPECT_EQ(Stream(tokenizer, {'a', 300, 'b'}), (Pieces{"a", "", "b", ""}));
  EXPECT_EQ(Stream(tokenizer, {'a', 300}, false), (Pieces{"a", "<s>", ""}));
  EXPECT_EQ(Stream(tokenizer, {0xE2, 300, 0x82, 0xAC}), (Pieces{"", "", "", "\xE2\x82\xAC", ""}))
      << "a skipped token does not part a character";
  EXPECT_EQ(Stream(tokenizer, {-1, 299, 301, 1 << 30, 'z'}), (Pieces{"", "", "", "", "z", ""}));
}

TEST(Detokenizer, IsAsNewAfterFlush) {
  IncrementalDetokenizer stream(FallbackTokenizer());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(stream.Push(257), "");
    EXPECT_EQ(stream.Push(256), "a");
    EXPECT_EQ(stream.Push(0xE2), "");
    EXPECT_EQ(stream.Flush(), kFffd);
  }
}

}  // namespace
}  // namespace bitrate::testing
