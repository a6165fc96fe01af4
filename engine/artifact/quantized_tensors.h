// Matrices that a Hugging Face folder holds as several tensors: what the readers of quantized folders share. A reader
// (one file each: gptq_reader.cc, awq_reader.cc, bitsandbytes_reader.cc, compressed_tensors_reader.cc) finds them from
// headers alone and can later bring each to coded rows (engine/format/coded_rows.h).
// Thread rule: a StoredTensors is built by one thread, then immutable; a QuantizedMatrix may be made by any thread.
// Errors: INVALID_ARGUMENT naming the tensor, with what it has and what its format wants; FAILED_PRECONDITION for
// honest but unsupported variants, by name.
#ifndef BITRATE_ENGINE_ARTIFACT_QUANTIZED_TENSORS_H_
#define BITRATE_ENGINE_ARTIFACT_QUANTIZED_TENSORS_H_

#include <absl/functional/function_ref.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/base/status.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

struct StoredTensor {
  std::string name;
  std::string dtype_name;      // "I32", "F8_E4M3"
  std::optional<DType> dtype;  // nullopt: an 8-bit float
  std::vector<int64_t> shape;  // slowest dimension first
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
};

class StoredTensors {
 public:
  void Add(StoredTensor tensor) { by_name_.emplace(tensor.name, std::move(tensor)); }

  const std::map<std::string, StoredTensor, std::less<>>& all() const { return by_name_; }
  const StoredTensor* Find(std::string_view name) const;
  // A tensor of one of these dtypes ("F16 or BF16") and dimensions; -1 in `shape` takes any extent.
  StatusOr<const StoredTensor*> Get(std::string_view name, std::initializer_list<std::string_view> dtypes,
                                    const std::vector<int64_t>& shape) const;

 private:
  std::map<std::string, StoredTensor, std::less<>> by_name_;
};

struct QuantizedMatrix {
  std::string name;  // "model.layers.0.mlp.up_proj.weight"
  int64_t n = 0, k = 0;
  // From headers, config and group indices: zeros that a symmetric grid promises are not looked at.
  std::shared_ptr<const CodedLayout> layout;
  std::vector<std::string> parts;  // the stored tensors it is made of
  uint64_t bytes = 0;              // of them
  std::function<StatusOr<WeightMatrix>()> make;
};

// What a folder's config says of its quantization; null where it says nothing. `own_file` is the text of
// quantize_config.json or quant_config.json, which some tools write instead; may be empty.
StatusOr<std::optional<nlohmann::json>> FindQuantizationConfig(const nlohmann::json& config, std::string_view gptq_file,
                                                               std::string_view awq_file);

// All matrices of a folder quantized as `config` (quant_method and its fields) says.
StatusOr<std::vector<QuantizedMatrix>> CollectQuantized(const nlohmann::json& config, const StoredTensors& tensors);

// The readers. Each takes the tensors that are its format's; plain ones are not theirs.
StatusOr<std::vector<QuantizedMatrix>> CollectGptq(const nlohmann::json& config, const StoredTensors& tensors);
StatusOr<std::vector<QuantizedMatrix>> CollectAwq(const nlohmann::json& config, const StoredTensors& tensors);
StatusOr<std::vector<QuantizedMatrix>> CollectBitsandbytes(const nlohmann::json& config, const StoredTensors& tensors);
StatusOr<std::vector<QuantizedMatrix>> CollectCompressedTensors(const nlohmann::json& config,
                                                                const StoredTensors& tensors);

// ---- for readers ----

// The i-th element of a tensor's bytes, whatever their alignment.
template <typename T>
T ElementAt(std::span<const std::byte> data, int64_t index) {
  T value;
  __builtin_memcpy(&value, data.data() + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
// Of an F32, F16 or BF16 tensor.
float FloatAt(const StoredTensor& tensor, int64_t index);

// Field `index` of `bits` bits in a run of 32-bit words of a packed tensor, least significant bits first, where a field
// may straddle two words. `word(i)` gives word i.
template <typename WordFn>
uint32_t PackedField(WordFn word, int64_t index, int bits) {
  const int64_t bit = index * bits, at = bit / 32, shift = bit % 32;
  uint64_t value = static_cast<uint64_t>(word(at)) >> shift;
  if (shift + bits > 32) value |= static_cast<uint64_t>(word(at + 1)) << (32 - shift);
  return static_cast<uint32_t>(value) & ((1u << bits) - 1);
}

// The matrix over rows that were made: n rows of `layout`.
WeightMatrix MatrixOfRows(const std::string& name, int64_t n, int64_t k, std::shared_ptr<const CodedLayout> layout,
                          std::shared_ptr<const std::vector<std::byte>> rows);
// A matrix for each tensor named MODULE + suffix, by `collect(MODULE)`. INVALID_ARGUMENT where there is none.
StatusOr<std::vector<QuantizedMatrix>> CollectModules(
    const StoredTensors& tensors, std::string_view method, std::string_view suffix,
    absl::FunctionRef<StatusOr<QuantizedMatrix>(const std::string& module)> collect);

// AWQ's order: the nibble of a word that holds its column 0 .. 7.
inline constexpr std::array<int, 8> kAwqNibbleOfColumn = {0, 4, 1, 5, 2, 6, 3, 7};

// Fills parts, bytes and the layout's bits per weight.
void AccountParts(std::initializer_list<const StoredTensor*> parts, CodedLayout& layout, QuantizedMatrix& matrix);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_QUANTIZED_TENSORS_H_
