#include <optional>

#include "engine/artifact/byte_cursor.h"
#include "engine/artifact/gguf_metadata.h"

namespace bitrate {
namespace {

// Bytes of a scalar; nullopt for strings, arrays and unknown types.
std::optional<uint64_t> ScalarBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
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
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return std::nullopt;
}

StatusOr<GgufType> ReadType(ByteCursor* cursor, std::string_view what, std::string_view key) {
  ASSIGN_OR_RETURN(const uint32_t number, cursor->Read<uint32_t>(what, key));
  if (number > static_cast<uint32_t>(GgufType::kF64)) {
    return InvalidArgument("GGUF metadata {}: value type {} does not exist", key, number);
  }
  return static_cast<GgufType>(number);
}

Status CheckBools(std::span<const std::byte> raw, std::string_view key) {
  for (std::byte b : raw) {
    if (b > std::byte{1}) {
      return InvalidArgument("GGUF metadata {}: a bool of {}, want 0 or 1", key, static_cast<int>(b));
    }
  }
  return OkStatus();
}

Status ReadArray(ByteCursor* cursor, std::string_view key, int depth, GgufMetadata::Value* value);

// Elements that are arrays themselves: checked and stepped over; no key we know of uses them.
Status SkipArrays(ByteCursor* cursor, std::string_view key, int depth, uint64_t count) {
  if (depth == limits::kMaxMetadataArrayDepth) {
    return InvalidArgument("GGUF metadata {}: arrays nest deeper than {}", key, limits::kMaxMetadataArrayDepth);
  }
  for (uint64_t i = 0; i < count; ++i) {
    GgufMetadata::Value ignored;
    RETURN_IF_ERROR(ReadArray(cursor, key, depth + 1, &ignored));
  }
  return OkStatus();
}

Status ReadArray(ByteCursor* cursor, std::string_view key, int depth, GgufMetadata::Value* value) {
  ASSIGN_OR_RETURN(value->element, ReadType(cursor, "array type of", key));
  ASSIGN_OR_RETURN(value->count, cursor->Read<uint64_t>("array length of", key));
  if (value->count > limits::kMaxMetadataArrayElements) {
    return ResourceExhausted("GGUF metadata {}: an array of {} elements, the limit is {}", key, value->count,
                             limits::kMaxMetadataArrayElements);
  }
  if (const std::optional<uint64_t> bytes = ScalarBytes(value->element)) {
    ASSIGN_OR_RETURN(value->raw, cursor->Take(value->count * *bytes, "array", key));
    return value->element == GgufType::kBool ? CheckBools(value->raw, key) : OkStatus();
  }
  // A string has at least its length, an array its type and length: the count is bounded before anything is allocated.
  const uint64_t least = value->element == GgufType::kString ? 8 : 12;
  if (value->count > cursor->remaining() / least) {
    return DataLoss("GGUF array {}: {} elements do not fit the {} bytes left of the file", key, value->count,
                    cursor->remaining());
  }
  if (value->element == GgufType::kArray) return SkipArrays(cursor, key, depth, value->count);
  value->strings.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    ASSIGN_OR_RETURN(const std::string_view text, cursor->ReadString(limits::kMaxStringBytes, "array", key));
    value->strings.push_back(text);
  }
  return OkStatus();
}

StatusOr<GgufMetadata::Value> ReadValue(ByteCursor* cursor, std::string_view key) {
  GgufMetadata::Value value;
  ASSIGN_OR_RETURN(value.type, ReadType(cursor, "value type of", key));
  if (const std::optional<uint64_t> bytes = ScalarBytes(value.type)) {
    ASSIGN_OR_RETURN(value.raw, cursor->Take(*bytes, "value of", key));
    if (value.type == GgufType::kBool) RETURN_IF_ERROR(CheckBools(value.raw, key));
  } else if (value.type == GgufType::kString) {
    ASSIGN_OR_RETURN(value.text, cursor->ReadString(limits::kMaxStringBytes, "value of", key));
  } else {
    RETURN_IF_ERROR(ReadArray(cursor, key, 1, &value));
  }
  return value;
}

StatusOr<std::string_view> ReadKey(ByteCursor* cursor, uint64_t index) {
  ASSIGN_OR_RETURN(const std::string_view key, cursor->ReadString(limits::kMaxTensorNameBytes, "metadata key"));
  if (key.empty() || key.find('\0') != std::string_view::npos || !IsValidUtf8(key)) {
    return InvalidArgument("GGUF metadata key {}: \"{}\" is empty, has a NUL or is not UTF-8", index, Printable(key));
  }
  return key;
}

}  // namespace

StatusOr<GgufMetadata> ParseGgufMetadata(std::span<const std::byte> file, uint64_t* position, uint64_t count) {
  ByteCursor cursor(file, *position);
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const std::string_view key, ReadKey(&cursor, i));
    ASSIGN_OR_RETURN(GgufMetadata::Value value, ReadValue(&cursor, key));
    if (!metadata.Add(key, std::move(value))) return InvalidArgument("GGUF metadata {}: the key appears twice", key);
  }
  *position = cursor.position();
  return metadata;
}

}  // namespace bitrate
