// Readers of the components of tokenizer.json. Errors name the field: INVALID_ARGUMENT for a malformed one,
// FAILED_PRECONDITION for a type that is not supported. Nesting and number of components are bounded by limits.h.
#ifndef BITRATE_ENGINE_TEXT_COMPONENT_JSON_H_
#define BITRATE_ENGINE_TEXT_COMPONENT_JSON_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/decoder.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"

namespace bitrate::text {

// `node` is the component's JSON, null allowed: the result is then null too.
StatusOr<std::unique_ptr<Normalizer>> ReadNormalizer(const nlohmann::json* node);

struct PreTokenizerSpec {
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  bool byte_level = false;  // its last member is ByteLevel: the model works on bytes
};
StatusOr<PreTokenizerSpec> ReadPreTokenizer(const nlohmann::json* node);

// No decoder at all: tokens are joined by a space.
StatusOr<Decoder> ReadDecoder(const nlohmann::json* node);

struct PostProcessor {
  std::vector<int32_t> prefix, suffix;
};
StatusOr<PostProcessor> ReadPostProcessor(const nlohmann::json* node);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_COMPONENT_JSON_H_
