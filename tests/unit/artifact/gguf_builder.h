// Makes GGUF files for tests, well formed unless told otherwise. Integers little-endian, as the format wants.
#ifndef BITRATE_TESTS_UNIT_ARTIFACT_GGUF_BUILDER_H_
#define BITRATE_TESTS_UNIT_ARTIFACT_GGUF_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/artifact/gguf_metadata.h"
#include "engine/format/quant_format.h"

namespace bitrate {

template <typename T>
std::string LittleEndian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
inline std::string GgufString(std::string_view text) { return LittleEndian<uint64_t>(text.size()).append(text); }

struct GgufBuilder {
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;  // as in the file: fastest first
    uint32_t type = 0;
    std::string data;
    std::optional<uint64_t> offset;  // default: after the one before, aligned
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count, entry_count;
  uint64_t alignment = 32;
  std::vector<std::string> entries;
  std::vector<Tensor> tensors;
  std::string after;  // bytes after the data

  // An entry from its key, type and value bytes.
  GgufBuilder& Raw(std::string_view key, uint32_t type, std::string_view value) {
    entries.push_back(GgufString(key) + LittleEndian(type).append(value));
    return *this;
  }
  template <typename T>
  GgufBuilder& Scalar(std::string_view key, GgufType type, T value) {
    return Raw(key, static_cast<uint32_t>(type), LittleEndian(value));
  }
  GgufBuilder& U32(std::string_view key, uint32_t value) { return Scalar(key, GgufType::kU32, value); }
  GgufBuilder& F32(std::string_view key, float value) { return Scalar(key, GgufType::kF32, value); }
  GgufBuilder& Str(std::string_view key, std::string_view value) { return Raw(key, 8, GgufString(value)); }
  // An array from its element type, count and element bytes.
  GgufBuilder& RawArray(std::string_view key, uint32_t element, uint64_t count, std::string_view elements) {
    return Raw(key, 9, LittleEndian(element) + LittleEndian(count).append(elements));
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes;
    for (const std::string& value : values) bytes += GgufString(value);
    return RawArray(key, 8, values.size(), bytes);
  }

  // Data of the right size, each byte made of its position.
  GgufBuilder& Add(std::string_view name, std::vector<uint64_t> dims, QuantFormatId id = QuantFormatId::kF32) {
    const QuantFormat& format = GetQuantFormat(id);
    uint64_t elements = 1;
    for (uint64_t dim : dims) elements *= dim;
    std::string data(
        elements / static_cast<uint64_t>(format.block_elements) * static_cast<uint64_t>(format.block_bytes), '\0');
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + 1);
    tensors.push_back({std::string(name), std::move(dims), format.gguf_type, std::move(data), std::nullopt});
    return *this;
  }
  GgufBuilder& AddFloats(std::string_view name, std::vector<uint64_t> dims, const std::vector<float>& values) {
    std::string data(values.size() * sizeof(float), '\0');
    std::memcpy(data.data(), values.data(), data.size());
    tensors.push_back({std::string(name), std::move(dims), 0, std::move(data), std::nullopt});
    return *this;
  }

  // The keys that a llama file must have, for one layer of 2 query heads and 1 key head of 4.
  GgufBuilder& LlamaKeys(std::string_view architecture = "llama") {
    const std::string prefix = std::string(architecture) + ".";
    Str("general.architecture", architecture);
    U32(prefix + "context_length", 128);
    U32(prefix + "embedding_length", 8);
    U32(prefix + "block_count", 1);
    U32(prefix + "feed_forward_length", 16);
    U32(prefix + "attention.head_count", 2);
    U32(prefix + "attention.head_count_kv", 1);
    return F32(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
  }
  GgufBuilder& LlamaTensors() {
    Add("token_embd.weight", {8, 10});
    Add("blk.0.attn_q.weight", {8, 8});
    Add("blk.0.attn_k.weight", {8, 4});
    return Add("output_norm.weight", {8});
  }

  // Everything before the data section, padding included.
  std::string Head() const {
    std::string out = magic + LittleEndian(version) + LittleEndian(tensor_count.value_or(tensors.size())) +
                      LittleEndian(entry_count.value_or(entries.size()));
    for (const std::string& entry : entries) out += entry;
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
      out += GgufString(tensor.name) + LittleEndian(static_cast<uint32_t>(tensor.dims.size()));
      for (uint64_t dim : tensor.dims) out += LittleEndian(dim);
      out += LittleEndian(tensor.type) + LittleEndian(tensor.offset.value_or(offset));
      offset += Padded(tensor.data.size());
    }
    out.resize(Padded(out.size()), '\0');
    return out;
  }
  std::string Build() const {
    std::string out = Head();
    for (const Tensor& tensor : tensors) {
      out += tensor.data;
      out.resize(Padded(out.size()), '\0');
    }
    return out + after;
  }

 private:
  uint64_t Padded(uint64_t size) const { return (size + alignment - 1) / alignment * alignment; }
};

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_ARTIFACT_GGUF_BUILDER_H_
