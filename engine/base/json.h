// JSON from files and clients: parsed with bounds, read with errors that name the field.
//
// Parsing is bounded by limits::kMaxJsonBytes, kMaxJsonDepth and kMaxJsonValues, checked before anything is built, so
// memory is a small multiple of the text. Duplicate keys: the last one wins. A UTF-8 byte order mark is skipped.
// Errors: INVALID_ARGUMENT (malformed, wrong type, missing), RESOURCE_EXHAUSTED (over a bound). Nothing throws.
//
// Getters take an object and a key. `Get*` wants the field; `Find*` gives nullopt (or nullptr) where it is absent or
// null. Both refuse a field of the wrong type. The message says "KEY: ..."; callers Annotate() the place of the object.
#ifndef BITRATE_ENGINE_BASE_JSON_H_
#define BITRATE_ENGINE_BASE_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/status.h"

namespace bitrate {

// `what` names the text in messages, e.g. "tokenizer.json".
StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view what);

// The field, whatever its type; nullptr where `object` is no object, has no such key, or holds null there.
const nlohmann::json* FindField(const nlohmann::json& object, std::string_view key);

// Integers: a number without fraction that fits int64 (2.0 counts as 2, as Python tools sometimes write it so).
StatusOr<int64_t> GetInt(const nlohmann::json& object, std::string_view key);
StatusOr<std::optional<int64_t>> FindInt(const nlohmann::json& object, std::string_view key);
// The same, and refused outside [low, high].
StatusOr<int64_t> GetIntInRange(const nlohmann::json& object, std::string_view key, int64_t low, int64_t high);

// Any finite number.
StatusOr<double> GetFloat(const nlohmann::json& object, std::string_view key);
StatusOr<std::optional<double>> FindFloat(const nlohmann::json& object, std::string_view key);

StatusOr<bool> GetBool(const nlohmann::json& object, std::string_view key);
StatusOr<std::optional<bool>> FindBool(const nlohmann::json& object, std::string_view key);

StatusOr<std::string> GetString(const nlohmann::json& object, std::string_view key);
StatusOr<std::optional<std::string>> FindString(const nlohmann::json& object, std::string_view key);

// The pointers live as long as `object`. Get* never returns nullptr.
StatusOr<const nlohmann::json*> GetObject(const nlohmann::json& object, std::string_view key);
StatusOr<const nlohmann::json*> FindObject(const nlohmann::json& object, std::string_view key);
StatusOr<const nlohmann::json*> GetArray(const nlohmann::json& object, std::string_view key);
StatusOr<const nlohmann::json*> FindArray(const nlohmann::json& object, std::string_view key);

// A value by itself; `what` names it in the message.
StatusOr<int64_t> JsonToInt(const nlohmann::json& value, std::string_view what);
StatusOr<double> JsonToFloat(const nlohmann::json& value, std::string_view what);

// Compact text of a value for messages and output. Invalid UTF-8 becomes U+FFFD.
std::string JsonToText(const nlohmann::json& value);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_JSON_H_
