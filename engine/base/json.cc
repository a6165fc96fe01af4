#include "engine/base/json.h"

#include <cmath>
#include <exception>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

// One pass over the text before the parser builds anything: nesting and the number of values. Exact for valid JSON;
// for invalid JSON it only has to be an upper bound on what the parser builds before it stops.
Status CheckShape(std::string_view text, std::string_view what) {
  int depth = 0;
  uint64_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++values;
      if (++depth > limits::kMaxJsonDepth) {
        return ResourceExhausted("{}: JSON nests deeper than {} at byte {}", what, limits::kMaxJsonDepth, i);
      }
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',') {
      ++values;
    }
  }
  if (values > limits::kMaxJsonValues) {
    return ResourceExhausted("{}: JSON has {} values, the limit is {}", what, values, limits::kMaxJsonValues);
  }
  return OkStatus();
}

std::string_view TypeName(const json& value) { return value.type_name(); }

Status WrongType(std::string_view key, const json& value, std::string_view wanted) {
  return InvalidArgument("{}: got {}, want {}", key, TypeName(value), wanted);
}

Status Missing(std::string_view key, std::string_view wanted) {
  return InvalidArgument("{}: missing, want {}", key, wanted);
}

template <typename T>
StatusOr<T> Want(StatusOr<std::optional<T>> found, std::string_view key, std::string_view wanted) {
  if (!found.ok()) return found.status();
  if (!found->has_value()) return Missing(key, wanted);
  return std::move(**found);
}

}  // namespace

StatusOr<json> ParseJson(std::string_view text, std::string_view what) {
  if (text.size() > limits::kMaxJsonBytes) {
    return ResourceExhausted("{}: JSON of {} bytes, the limit is {}", what, text.size(), limits::kMaxJsonBytes);
  }
  RETURN_IF_ERROR(CheckShape(text, what));
  try {
    return json::parse(text.begin(), text.end());
  } catch (const std::exception& e) {
    return InvalidArgument("{}: malformed JSON: {}", what, e.what());
  }
}

const json* FindField(const json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

StatusOr<int64_t> JsonToInt(const json& value, std::string_view what) {
  if (value.is_number_unsigned()) {
    const uint64_t u = value.get<uint64_t>();
    if (u > static_cast<uint64_t>(INT64_MAX)) return InvalidArgument("{}: {} does not fit 64 bits", what, u);
    return static_cast<int64_t>(u);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double d = value.get<double>();
    if (std::trunc(d) == d && std::abs(d) < 9.0e18) return static_cast<int64_t>(d);
    return InvalidArgument("{}: got {}, want an integer", what, d);
  }
  return WrongType(what, value, "an integer");
}

StatusOr<double> JsonToFloat(const json& value, std::string_view what) {
  if (!value.is_number()) return WrongType(what, value, "a number");
  const double d = value.get<double>();
  if (!std::isfinite(d)) return InvalidArgument("{}: got {}, want a finite number", what, d);
  return d;
}

StatusOr<std::optional<int64_t>> FindInt(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field == nullptr) return std::optional<int64_t>();
  ASSIGN_OR_RETURN(const int64_t value, JsonToInt(*field, key));
  return std::optional<int64_t>(value);
}

StatusOr<int64_t> GetInt(const json& object, std::string_view key) {
  return Want(FindInt(object, key), key, "an integer");
}

StatusOr<int64_t> GetIntInRange(const json& object, std::string_view key, int64_t low, int64_t high) {
  ASSIGN_OR_RETURN(const int64_t value, GetInt(object, key));
  if (value < low || value > high) return InvalidArgument("{}: got {}, want {} to {}", key, value, low, high);
  return value;
}

StatusOr<std::optional<double>> FindFloat(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field == nullptr) return std::optional<double>();
  ASSIGN_OR_RETURN(const double value, JsonToFloat(*field, key));
  return std::optional<double>(value);
}

StatusOr<double> GetFloat(const json& object, std::string_view key) {
  return Want(FindFloat(object, key), key, "a number");
}

StatusOr<std::optional<bool>> FindBool(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field == nullptr) return std::optional<bool>();
  if (!field->is_boolean()) return WrongType(key, *field, "true or false");
  return std::optional<bool>(field->get<bool>());
}

StatusOr<bool> GetBool(const json& object, std::string_view key) {
  return Want(FindBool(object, key), key, "true or false");
}

StatusOr<std::optional<std::string>> FindString(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field == nullptr) return std::optional<std::string>();
  if (!field->is_string()) return WrongType(key, *field, "a string");
  return std::optional<std::string>(field->get_ref<const std::string&>());
}

StatusOr<std::string> GetString(const json& object, std::string_view key) {
  return Want(FindString(object, key), key, "a string");
}

StatusOr<const json*> FindObject(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field != nullptr && !field->is_object()) return WrongType(key, *field, "an object");
  return field;
}

StatusOr<const json*> GetObject(const json& object, std::string_view key) {
  ASSIGN_OR_RETURN(const json* field, FindObject(object, key));
  if (field == nullptr) return Missing(key, "an object");
  return field;
}

StatusOr<const json*> FindArray(const json& object, std::string_view key) {
  const json* field = FindField(object, key);
  if (field != nullptr && !field->is_array()) return WrongType(key, *field, "an array");
  return field;
}

StatusOr<const json*> GetArray(const json& object, std::string_view key) {
  ASSIGN_OR_RETURN(const json* field, FindArray(object, key));
  if (field == nullptr) return Missing(key, "an array");
  return field;
}

std::string JsonToText(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace bitrate
