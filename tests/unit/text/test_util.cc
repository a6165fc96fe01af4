#include "tests/unit/text/test_util.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/text/byte_level.h"
#include "engine/text/utf8.h"

namespace bitrate::testing {

using nlohmann::json;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

namespace {

std::string GoldenPath(const std::string& name, const std::string& file) {
  return std::string(BITRATE_GOLDEN_DIR) + "/tokenizers/" + name + "/" + file;
}

}  // namespace

std::string GoldenTokenizerJson(const std::string& name) { return ReadFile(GoldenPath(name, "tokenizer.json")); }

std::vector<json> GoldenRows(const std::string& name) {
  std::istringstream lines(ReadFile(GoldenPath(name, "cases.jsonl")));
  std::vector<json> rows;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) rows.push_back(json::parse(line));
  }
  return rows;
}

std::shared_ptr<const Tokenizer> GoldenTokenizer(const std::string& name) {
  auto tokenizer = Tokenizer::FromTokenizerJson(GoldenTokenizerJson(name), "");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::shared_ptr<const Tokenizer> Load(const json& tokenizer, const std::string& config) {
  auto loaded = Tokenizer::FromTokenizerJson(tokenizer.dump(), config);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *loaded : nullptr;
}

json ByteTokenizer(const std::vector<std::string>& merges) {
  json vocab = json::object();
  for (int b = 0; b < 256; ++b) {
    std::string symbol;
    text::AppendUtf8(text::ByteToChar(static_cast<uint8_t>(b)), &symbol);
    vocab[symbol] = b;
  }
  int id = 256;
  for (const std::string& merge : merges) {
    const size_t space = merge.find(' ');
    vocab[merge.substr(0, space) + merge.substr(space + 1)] = id++;
  }
  return json{
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens", json::array()},
  };
}

GgufVocab GgufFromGolden(const std::string& name, const std::string& model, const std::string& pre) {
  const json root = json::parse(GoldenTokenizerJson(name));
  GgufVocab gguf;
  gguf.model = model;
  gguf.pre = pre;
  const auto put = [&](size_t id, const std::string& token, int type) {
    if (gguf.tokens.size() <= id) {
      gguf.tokens.resize(id + 1);
      gguf.token_types.resize(id + 1, 5);
    }
    gguf.tokens[id] = token;
    gguf.token_types[id] = type;
  };
  for (const auto& [token, id] : root["model"]["vocab"].items()) {
    const bool byte = model == "llama" && token.size() == 6 && token.starts_with("<0x");
    put(id.get<size_t>(), token, byte ? 6 : 1);
  }
  for (const json& added : root["added_tokens"]) {
    const std::string content = added["content"];
    put(added["id"].get<size_t>(), content, content == "<unk>" ? 2 : added["special"].get<bool>() ? 3 : 4);
  }
  for (const json& merge : root["model"]["merges"]) {
    gguf.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                            : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return gguf;
}

std::vector<int32_t> MustEncode(const Tokenizer& tokenizer, const std::string& text, const EncodeOptions& options) {
  auto ids = tokenizer.Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>();
}

std::string MustDecode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special) {
  auto text = tokenizer.Decode(ids, skip_special);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : std::string();
}

std::string Quote(const std::string& text) {
  return json(text).dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 200);
}

}  // namespace bitrate::testing
