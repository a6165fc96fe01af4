// The key-value section of a GGUF file with typed access. A getter never reinterprets: a value of another type is an
// error that names the key and both types (an array of i8 read as f32 is how other readers overran their buffers).
//
// Thread rule: immutable after parsing. Strings point into the file's bytes, which must outlive this object.
// Errors: NOT_FOUND for an absent key, INVALID_ARGUMENT for another type or an integer out of range.
// Integer getters accept every integer type, float getters f32 and f64, string getters strings.
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_METADATA_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

// Value types as numbered in the format.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
std::string_view GgufTypeName(GgufType type);  // "u32", "string", ...

class GgufMetadata {
 public:
  struct Value {
    GgufType type = GgufType::kU8;
    GgufType element = GgufType::kU8;       // arrays
    uint64_t count = 0;                     // arrays
    std::span<const std::byte> raw;         // scalars and arrays of scalars, little-endian, unaligned
    std::string_view text;                  // strings
    std::vector<std::string_view> strings;  // arrays of strings
  };

  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  // Keys in file order.
  const std::vector<std::string>& keys() const { return keys_; }

  StatusOr<std::string> GetString(std::string_view key) const;
  StatusOr<uint64_t> GetU64(std::string_view key) const;
  StatusOr<int64_t> GetI64(std::string_view key) const;
  StatusOr<double> GetF64(std::string_view key) const;
  StatusOr<bool> GetBool(std::string_view key) const;
  StatusOr<std::vector<std::string>> GetStringArray(std::string_view key) const;
  StatusOr<std::vector<float>> GetFloatArray(std::string_view key) const;
  StatusOr<std::vector<int64_t>> GetIntArray(std::string_view key) const;

  // The same where absence has a meaning; other errors as above.
  StatusOr<std::string> GetStringOr(std::string_view key, std::string_view fallback) const;
  StatusOr<uint64_t> GetU64Or(std::string_view key, uint64_t fallback) const;
  StatusOr<double> GetF64Or(std::string_view key, double fallback) const;
  StatusOr<bool> GetBoolOr(std::string_view key, bool fallback) const;

  // "u32", "string[49152]"; empty for an absent key.
  std::string TypeText(std::string_view key) const;
  // A value for people: scalars in full, strings and arrays cut after `max_items` bytes or elements. Valid UTF-8.
  std::string Describe(std::string_view key, size_t max_items = 8) const;

  // For the parser: false where the key is there already.
  bool Add(std::string_view key, Value value);

 private:
  const Value* Find(std::string_view key) const;
  StatusOr<const Value*> Want(std::string_view key, std::string_view wanted, bool (*accept)(const Value&)) const;

  std::vector<std::string> keys_;
  std::vector<Value> values_;
  std::unordered_map<std::string, size_t> index_;
};

// Reads `count` key-value pairs at `*position` of `file` and moves `*position` past them.
// DATA_LOSS where the file ends first, INVALID_ARGUMENT or RESOURCE_EXHAUSTED naming the key otherwise.
StatusOr<GgufMetadata> ParseGgufMetadata(std::span<const std::byte> file, uint64_t* position, uint64_t count);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_METADATA_H_
