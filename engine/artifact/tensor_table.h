// The tensors of an opened checkpoint with their bytes: what both containers share behind the Checkpoint interface.
// Thread rule: built by one thread, then immutable. Shapes: slowest dimension first; a matrix is [N, K].
#ifndef BITRATE_ENGINE_ARTIFACT_TENSOR_TABLE_H_
#define BITRATE_ENGINE_ARTIFACT_TENSOR_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/artifact/checkpoint.h"

namespace bitrate {

class TensorTable {
 public:
  struct Entry {
    std::span<const std::byte> data;
    std::shared_ptr<const void> owner;
    // Above 0: rows are stored permuted for interleaved rope in this many heads (llama-architecture GGUF).
    int64_t permuted_heads = 0;
    // Makes a matrix of kCoded, which has no bytes of its own in the file.
    std::function<StatusOr<WeightMatrix>()> make = nullptr;
  };

  // Takes a tensor whose sizes were checked: data.size() == info.bytes and, for weights, is what shape and format say.
  // INVALID_ARGUMENT for a second tensor of the same file name or canonical name.
  Status Add(TensorInfo info, Entry entry);

  const std::vector<TensorInfo>& infos() const { return infos_; }
  bool Has(std::string_view canonical_name) const { return by_canonical_.contains(std::string(canonical_name)); }
  StatusOr<WeightMatrix> Matrix(std::string_view canonical_name) const;
  StatusOr<std::vector<float>> Vector(std::string_view canonical_name) const;
  StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const;

  // Names, types, shapes and `file_bytes`, hashed: 32 hex digits. An identity, not a defence.
  std::string Digest(uint64_t file_bytes) const;

 private:
  StatusOr<size_t> Find(std::string_view canonical_name) const;

  std::vector<TensorInfo> infos_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_canonical_;
  std::unordered_map<std::string, size_t> by_name_;
};

// HF row of stored row: within a head of D rows the file interleaves the halves, stored 2i + j = row j * D/2 + i.
// Returns, for each row in Hugging Face order, the stored row. `rows` is a multiple of 2 * heads.
std::vector<int64_t> UnpermutedRows(int64_t rows, int64_t heads);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_TENSOR_TABLE_H_
