// Random ids through the incremental detokenizer, on three fixed tokenizers (byte-level, byte fallback with a stripped
// first space, Metaspace): every piece is valid UTF-8, and between two flushes the pieces add up to the one-shot
// decoding, whatever the ids and wherever the flushes.
// Input: byte 0 picks tokenizer and skip_special; then two bytes an id; 0xFFFF flushes.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text/byte_level.h"
#include "engine/text/detokenizer.h"
#include "engine/text/utf8.h"

namespace {

using namespace bitrate;
using nlohmann::json;
using TokenizerPtr = std::shared_ptr<const Tokenizer>;

void Require(bool condition) {
  if (!condition) std::abort();
}

const std::string kSpace = "\xE2\x96\x81";

json WithTail(json vocab, json decoder) {
  for (const std::string& token :
       {std::string("word"), kSpace + "x", kSpace + kSpace, std::string("\xC3\xA9\xC3\xA9")}) {
    vocab[token] = vocab.size();
  }
  const auto special = vocab.size();
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}, {"byte_fallback", true}}},
          {"decoder", decoder},
          {"added_tokens",
           {{{"id", special}, {"content", "<s>"}, {"special", true}},
            {{"id", special + 1}, {"content", "<t t>"}, {"special", false}}}}};
}

TokenizerPtr MustLoad(const json& file) {
  auto tokenizer = Tokenizer::FromTokenizerJson(file.dump(), "");
  if (!tokenizer.ok()) std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
  Require(tokenizer.ok());
  return *tokenizer;
}

std::array<TokenizerPtr, 3> MakeTokenizers() {
  json bytes, fallback;
  for (int b = 0; b < 256; ++b) {
    std::string symbol;
    text::AppendUtf8(text::ByteToChar(static_cast<uint8_t>(b)), &symbol);
    bytes[symbol] = b;
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", static_cast<unsigned>(b));
    fallback[name] = b;
  }
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}};
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  return {
      MustLoad(WithTail(bytes, {{"type", "ByteLevel"}})),
      MustLoad(WithTail(fallback, {{"type", "Sequence"},
                                   {"decoders", {replace, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, strip}}})),
      MustLoad(WithTail(
          fallback, {{"type", "Sequence"},
                     {"decoders", {{{"type", "ByteFallback"}}, {{"type", "Metaspace"}, {"replacement", kSpace}}}}}))};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<TokenizerPtr, 3> tokenizers = MakeTokenizers();
  if (size == 0) return 0;
  const TokenizerPtr& tokenizer = tokenizers[data[0] % 3];
  const bool skip_special = data[0] >= 128;
  IncrementalDetokenizer stream(tokenizer, skip_special);
  std::vector<int32_t> ids;
  std::string all;
  const auto take = [&](const std::string& piece) {
    Require(text::FirstInvalidUtf8(piece) == std::string::npos);
    all += piece;
  };
  const auto flush = [&] {
    take(stream.Flush());
    auto whole = tokenizer->Decode(ids, skip_special);
    Require(whole.ok() && *whole == all);
    ids.clear();
    all.clear();
  };
  for (size_t i = 1; i + 1 < size; i += 2) {
    const int value = data[i] | (data[i + 1] << 8);
    if (value == 0xFFFF) {
      flush();
      continue;
    }
    // Most values are tokens; the rest are ids that no token has, which add nothing.
    const int32_t id = data[i + 1] < 250 ? value % tokenizer->vocab_size() : value;
    take(stream.Push(id));
    if (tokenizer->HasToken(id)) ids.push_back(id);
  }
  flush();
  return 0;
}
