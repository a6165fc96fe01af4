// What the tokenizer tests share: golden files and small tokenizers built as JSON.
#ifndef BITRATE_TESTS_UNIT_TEXT_TEST_UTIL_H_
#define BITRATE_TESTS_UNIT_TEXT_TEST_UTIL_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"

namespace bitrate::testing {

std::string ReadFile(const std::string& path);

// tests/golden/tokenizers/NAME
std::string GoldenTokenizerJson(const std::string& name);
std::vector<nlohmann::json> GoldenRows(const std::string& name);
std::shared_ptr<const Tokenizer> GoldenTokenizer(const std::string& name);

// Loads or fails the test.
std::shared_ptr<const Tokenizer> Load(const nlohmann::json& tokenizer, const std::string& config = "");

// A byte-level BPE tokenizer with the 256 byte symbols as ids 0 to 255 in byte order, `merges` after them ("a b", each
// adding the token "ab"), and no split at all but what ByteLevel without a pattern does.
nlohmann::json ByteTokenizer(const std::vector<std::string>& merges = {});

// The vocabulary of a golden BPE tokenizer as GGUF metadata.
GgufVocab GgufFromGolden(const std::string& name, const std::string& model, const std::string& pre);

std::vector<int32_t> MustEncode(const Tokenizer& tokenizer, const std::string& text, const EncodeOptions& options = {});
std::string MustDecode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special = false);

// A short printable form for failure messages.
std::string Quote(const std::string& text);

}  // namespace bitrate::testing

#endif  // BITRATE_TESTS_UNIT_TEXT_TEST_UTIL_H_
