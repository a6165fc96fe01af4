// Arbitrary bytes as tokenizer.json, and after a NUL byte as tokenizer_config.json. A file that loads must work:
// every id it gives is a token's, every decoding is valid UTF-8, streams add up to it, literal text yields no special
// token, and the same text gives the same ids again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"

namespace {

using namespace bitrate;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckDecoding(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids) {
  for (const bool skip : {false, true}) {
    auto text = tokenizer->Decode(ids, skip);
    Require(text.ok());
    Require(text::FirstInvalidUtf8(*text) == std::string::npos);
    IncrementalDetokenizer stream(tokenizer, skip);
    std::string all;
    for (const int32_t id : ids) {
      const std::string piece = stream.Push(id);
      Require(text::FirstInvalidUtf8(piece) == std::string::npos);
      all += piece;
    }
    Require(all + stream.Flush() == *text);
  }
}

void CheckText(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  auto ids = tokenizer->Encode(text);
  auto again = tokenizer->Encode(text);
  Require(ids.ok() == again.ok());
  if (!ids.ok()) return;
  Require(*ids == *again);
  for (const int32_t id : *ids) {
    Require(tokenizer->HasToken(id));
    (void)tokenizer->TokenBytes(id);
  }
  CheckDecoding(tokenizer, *ids);
  const ByteRange all{0, text.size()};
  EncodeOptions options{.add_special_tokens = false};
  options.literal = {&all, 1};
  auto literal = tokenizer->Encode(text, options);
  Require(!literal.ok() || literal->size() <= 64 * text.size() + 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t nul = input.find('\0');
  const std::string_view config = nul == std::string_view::npos ? std::string_view() : input.substr(nul + 1);
  auto tokenizer = Tokenizer::FromTokenizerJson(input.substr(0, nul), config);
  if (!tokenizer.ok()) {
    Require(!tokenizer.status().message().empty());
    return 0;
  }
  for (const std::string_view text :
       {"", " ", "a", "Hello  world, it's 2024!\n\n", "<s>ab</s> <unk>\t<|x|>",
        "e\xCC\x81 \xC3\x85 \xEF\xAC\x81 \xC2\xBD", "\xF0\x9F\x98\x80\xE4\xBD\xA0\xE5\xA5\xBD \xE2\x96\x81x",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbb"}) {
    CheckText(*tokenizer, text);
  }
  std::vector<int32_t> every;
  for (int32_t id = 0; id < std::min((*tokenizer)->vocab_size(), 600); ++id) {
    if ((*tokenizer)->HasToken(id)) every.push_back(id);
  }
  CheckDecoding(*tokenizer, every);
  return 0;
}
