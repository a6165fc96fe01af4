#include "engine/artifact/gguf_metadata.h"

#include <cstring>
#include <optional>

#include "engine/artifact/checked.h"

namespace bitrate {
namespace {

template <typename T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

bool IsInteger(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64:
      return true;
    default:
      return false;
  }
}
bool IsFloat(GgufType type) { return type == GgufType::kF32 || type == GgufType::kF64; }

size_t ElementBytes(GgufType type) {
  switch (type) {
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 1;
  }
}

// Integers as int64; nullopt for a u64 past its range.
std::optional<int64_t> LoadInteger(GgufType type, const std::byte* bytes) {
  switch (type) {
    case GgufType::kU8:
      return Load<uint8_t>(bytes);
    case GgufType::kI8:
      return Load<int8_t>(bytes);
    case GgufType::kU16:
      return Load<uint16_t>(bytes);
    case GgufType::kI16:
      return Load<int16_t>(bytes);
    case GgufType::kU32:
      return Load<uint32_t>(bytes);
    case GgufType::kI32:
      return Load<int32_t>(bytes);
    case GgufType::kI64:
      return Load<int64_t>(bytes);
    case GgufType::kU64: {
      const uint64_t value = Load<uint64_t>(bytes);
      if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

double LoadFloat(GgufType type, const std::byte* bytes) {
  return type == GgufType::kF32 ? static_cast<double>(Load<float>(bytes)) : Load<double>(bytes);
}

std::string TypeTextOf(const GgufMetadata::Value& value) {
  if (value.type != GgufType::kArray) return std::string(GgufTypeName(value.type));
  return fmt::format("{}[{}]", GgufTypeName(value.element), value.count);
}

// One element as text; `bytes` points at it.
std::string ScalarText(GgufType type, const std::byte* bytes) {
  if (type == GgufType::kBool) return Load<uint8_t>(bytes) != 0 ? "true" : "false";
  if (type == GgufType::kU64) return fmt::format("{}", Load<uint64_t>(bytes));
  if (type == GgufType::kF32) return fmt::format("{}", Load<float>(bytes));
  if (type == GgufType::kF64) return fmt::format("{}", Load<double>(bytes));
  return fmt::format("{}", LoadInteger(type, bytes).value_or(0));
}

template <typename T>
StatusOr<T> Or(StatusOr<T> value, T fallback) {
  if (value.status().code() == StatusCode::kNotFound) return fallback;
  return value;
}

}  // namespace

std::string_view GgufTypeName(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<uint32_t>(type);
  return index < std::size(kNames) ? kNames[index] : "?";
}

const GgufMetadata::Value* GgufMetadata::Find(std::string_view key) const {
  const auto it = index_.find(std::string(key));
  return it == index_.end() ? nullptr : &values_[it->second];
}

bool GgufMetadata::Add(std::string_view key, Value value) {
  if (!index_.emplace(key, values_.size()).second) return false;
  keys_.emplace_back(key);
  values_.push_back(std::move(value));
  return true;
}

StatusOr<const GgufMetadata::Value*> GgufMetadata::Want(std::string_view key, std::string_view wanted,
                                                        bool (*accept)(const Value&)) const {
  const Value* value = Find(key);
  if (value == nullptr) return NotFound("GGUF metadata {}: missing, want {}", key, wanted);
  if (!accept(*value)) {
    return InvalidArgument("GGUF metadata {}: got {}, want {}", key, TypeTextOf(*value), wanted);
  }
  return value;
}

StatusOr<std::string> GgufMetadata::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value,
                   Want(key, "a string", [](const Value& v) { return v.type == GgufType::kString; }));
  return std::string(value->text);
}

StatusOr<uint64_t> GgufMetadata::GetU64(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "an integer", [](const Value& v) { return IsInteger(v.type); }));
  if (value->type == GgufType::kU64) return Load<uint64_t>(value->raw.data());
  const int64_t number = *LoadInteger(value->type, value->raw.data());
  if (number < 0) return InvalidArgument("GGUF metadata {}: got {}, want at least 0", key, number);
  return static_cast<uint64_t>(number);
}

StatusOr<int64_t> GgufMetadata::GetI64(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "an integer", [](const Value& v) { return IsInteger(v.type); }));
  const std::optional<int64_t> number = LoadInteger(value->type, value->raw.data());
  if (!number) return InvalidArgument("GGUF metadata {}: the integer is above {}", key, INT64_MAX);
  return *number;
}

StatusOr<double> GgufMetadata::GetF64(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "f32 or f64", [](const Value& v) { return IsFloat(v.type); }));
  return LoadFloat(value->type, value->raw.data());
}

StatusOr<bool> GgufMetadata::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "a bool", [](const Value& v) { return v.type == GgufType::kBool; }));
  return Load<uint8_t>(value->raw.data()) != 0;
}

StatusOr<std::vector<std::string>> GgufMetadata::GetStringArray(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "an array of strings", [](const Value& v) {
                     return v.type == GgufType::kArray && v.element == GgufType::kString;
                   }));
  return std::vector<std::string>(value->strings.begin(), value->strings.end());
}

StatusOr<std::vector<float>> GgufMetadata::GetFloatArray(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "an array of f32 or f64", [](const Value& v) {
                     return v.type == GgufType::kArray && IsFloat(v.element);
                   }));
  std::vector<float> out(value->count);
  const size_t step = ElementBytes(value->element);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(LoadFloat(value->element, value->raw.data() + i * step));
  }
  return out;
}

StatusOr<std::vector<int64_t>> GgufMetadata::GetIntArray(std::string_view key) const {
  ASSIGN_OR_RETURN(const Value* value, Want(key, "an array of integers", [](const Value& v) {
                     return v.type == GgufType::kArray && IsInteger(v.element);
                   }));
  std::vector<int64_t> out(value->count);
  const size_t step = ElementBytes(value->element);
  for (size_t i = 0; i < out.size(); ++i) {
    const std::optional<int64_t> number = LoadInteger(value->element, value->raw.data() + i * step);
    if (!number) return InvalidArgument("GGUF metadata {}: element {} is above {}", key, i, INT64_MAX);
    out[i] = *number;
  }
  return out;
}

StatusOr<std::string> GgufMetadata::GetStringOr(std::string_view key, std::string_view fallback) const {
  return Or(GetString(key), std::string(fallback));
}
StatusOr<uint64_t> GgufMetadata::GetU64Or(std::string_view key, uint64_t fallback) const {
  return Or(GetU64(key), fallback);
}
StatusOr<double> GgufMetadata::GetF64Or(std::string_view key, double fallback) const {
  return Or(GetF64(key), fallback);
}
StatusOr<bool> GgufMetadata::GetBoolOr(std::string_view key, bool fallback) const { return Or(GetBool(key), fallback); }

std::string GgufMetadata::TypeText(std::string_view key) const {
  const Value* value = Find(key);
  return value == nullptr ? std::string() : TypeTextOf(*value);
}

std::string GgufMetadata::Describe(std::string_view key, size_t max_items) const {
  const Value* value = Find(key);
  if (value == nullptr) return "";
  if (value->type == GgufType::kString) return Printable(value->text);
  if (value->type != GgufType::kArray) return ScalarText(value->type, value->raw.data());
  if (value->element == GgufType::kArray) return fmt::format("({} arrays)", value->count);
  std::string out = "[";
  const size_t shown = std::min<size_t>(value->count, max_items);
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) out += ", ";
    out += value->element == GgufType::kString
               ? fmt::format("\"{}\"", Printable(value->strings[i]))
               : ScalarText(value->element, value->raw.data() + i * ElementBytes(value->element));
  }
  return out + (shown < value->count ? ", ...]" : "]");
}

}  // namespace bitrate
