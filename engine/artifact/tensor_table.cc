#include "engine/artifact/tensor_table.h"

#include <cstring>

#include "engine/artifact/checked.h"
#include "engine/format/reference_codec.h"

namespace bitrate {
namespace {

// Rows in Hugging Face order in a buffer of their own. Rows are whole blocks, so this serves every format.
std::shared_ptr<const std::vector<std::byte>> ReorderRows(std::span<const std::byte> data, int64_t rows,
                                                          int64_t heads) {
  auto out = std::make_shared<std::vector<std::byte>>(data.size());
  const size_t row_bytes = data.size() / static_cast<size_t>(rows);
  const std::vector<int64_t> order = UnpermutedRows(rows, heads);
  for (size_t row = 0; row < order.size(); ++row) {
    std::memcpy(out->data() + row * row_bytes, data.data() + static_cast<size_t>(order[row]) * row_bytes, row_bytes);
  }
  return out;
}

template <typename T>
void CastAll(std::span<const std::byte> data, std::vector<float>* out) {
  for (size_t i = 0; i < out->size(); ++i) {
    T value;
    std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
    (*out)[i] = static_cast<float>(value);
  }
}

// Integers that f32 holds exactly; false for the wider types.
bool DecodeSmallInteger(std::string_view type, std::span<const std::byte> data, std::vector<float>* out) {
  if (type == "U8" || type == "BOOL") return CastAll<uint8_t>(data, out), true;
  if (type == "I8") return CastAll<int8_t>(data, out), true;
  if (type == "I16") return CastAll<int16_t>(data, out), true;
  if (type == "U16") return CastAll<uint16_t>(data, out), true;
  return false;
}

Status NotAWeight(const TensorInfo& info) {
  return FailedPrecondition("tensor {}: type {} is not usable as a weight; want F32, F16 or BF16", info.name,
                            info.type_name);
}

void HashBytes(const void* data, size_t size, uint64_t hash[2]) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) {  // FNV-1a, twice from different starts
    hash[0] = (hash[0] ^ bytes[i]) * 0x100000001b3ull;
    hash[1] = (hash[1] ^ bytes[i]) * 0x100000001b3ull;
  }
}

}  // namespace

std::vector<int64_t> UnpermutedRows(int64_t rows, int64_t heads) {
  const int64_t dim = rows / heads, half = dim / 2;
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = row / dim, in_head = row % dim;
    order[static_cast<size_t>(row)] = head * dim + 2 * (in_head % half) + in_head / half;
  }
  return order;
}

Status TensorTable::Add(TensorInfo info, Entry entry) {
  const size_t index = infos_.size();
  if (!by_name_.emplace(info.name, index).second) {
    return InvalidArgument("tensor {}: the name appears twice", Printable(info.name));
  }
  if (!by_canonical_.emplace(info.canonical_name, index).second) {
    return InvalidArgument("tensor {}: a second tensor for {}", Printable(info.name), Printable(info.canonical_name));
  }
  infos_.push_back(std::move(info));
  entries_.push_back(std::move(entry));
  return OkStatus();
}

StatusOr<size_t> TensorTable::Find(std::string_view canonical_name) const {
  const auto it = by_canonical_.find(std::string(canonical_name));
  if (it == by_canonical_.end()) return NotFound("tensor {}: not in the checkpoint", Printable(canonical_name));
  return it->second;
}

StatusOr<WeightMatrix> TensorTable::Matrix(std::string_view canonical_name) const {
  ASSIGN_OR_RETURN(const size_t index, Find(canonical_name));
  const TensorInfo& info = infos_[index];
  const Entry& entry = entries_[index];
  if (!info.is_weight) return NotAWeight(info);
  if (info.shape.size() != 2 || info.shape[0] == 0 || info.shape[1] == 0) {
    return InvalidArgument("tensor {}: shape {}, want a matrix of two dimensions above 0", info.name,
                           ShapeText(info.shape));
  }
  if (entry.make) return entry.make();
  WeightMatrix matrix;
  matrix.name = info.canonical_name;
  matrix.format = info.format;
  matrix.n = info.shape[0];
  matrix.k = info.shape[1];
  matrix.data = entry.data;
  matrix.owner = entry.owner;
  if (entry.permuted_heads > 0) {
    const auto rows = ReorderRows(entry.data, matrix.n, entry.permuted_heads);
    matrix.data = *rows;
    matrix.owner = rows;
  }
  return matrix;
}

StatusOr<std::vector<float>> TensorTable::Vector(std::string_view canonical_name) const {
  ASSIGN_OR_RETURN(const size_t index, Find(canonical_name));
  const TensorInfo& info = infos_[index];
  if (!info.is_weight) return NotAWeight(info);
  if (info.shape.size() != 1) {
    return InvalidArgument("tensor {}: shape {}, want one dimension", info.name, ShapeText(info.shape));
  }
  return Decode(canonical_name, nullptr);
}

StatusOr<std::vector<float>> TensorTable::Decode(std::string_view name, std::vector<int64_t>* shape) const {
  // Canonical names first. Where a file's own name differs it asks for the values as stored.
  size_t index = 0;
  bool unpermute = true;
  if (const auto it = by_canonical_.find(std::string(name)); it != by_canonical_.end()) {
    index = it->second;
  } else if (const auto own = by_name_.find(std::string(name)); own != by_name_.end()) {
    index = own->second;
    unpermute = false;
  } else {
    return NotFound("tensor {}: not in the checkpoint", Printable(name));
  }
  const TensorInfo& info = infos_[index];
  const Entry& entry = entries_[index];
  const uint64_t elements = *CheckedElements(info.shape, UINT64_MAX);  // checked when the table was built
  std::vector<float> values(elements);
  if (shape != nullptr) *shape = info.shape;
  if (!info.is_weight) {
    if (!DecodeSmallInteger(info.type_name, entry.data, &values)) {
      return FailedPrecondition("tensor {}: type {} does not fit float32 exactly", info.name, info.type_name);
    }
    return values;
  }
  if (elements == 0) return values;
  if (entry.make) {
    ASSIGN_OR_RETURN(const WeightMatrix matrix, entry.make());
    DecodeRows(matrix, 0, matrix.n, values.data());
    return values;
  }
  std::span<const std::byte> data = entry.data;
  std::shared_ptr<const std::vector<std::byte>> reordered;
  if (unpermute && entry.permuted_heads > 0) {
    reordered = ReorderRows(data, info.shape[0], entry.permuted_heads);
    data = *reordered;
  }
  // Rows are whole blocks and adjoin, so the tensor decodes as one long row.
  DecodeRow(info.format, data, values);
  return values;
}

std::string TensorTable::Digest(uint64_t file_bytes) const {
  uint64_t hash[2] = {0xcbf29ce484222325ull, 0x84222325cbf29ce4ull};
  const auto add = [&](const std::string& text) { HashBytes(text.c_str(), text.size() + 1, hash); };
  for (const TensorInfo& info : infos_) {
    add(info.name);
    add(info.type_name);
    add(ShapeText(info.shape));
  }
  HashBytes(&file_bytes, sizeof(file_bytes), hash);
  return fmt::format("{:016x}{:016x}", hash[0], hash[1]);
}

}  // namespace bitrate
