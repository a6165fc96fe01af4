#include "engine/artifact/gguf_file.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "engine/artifact/byte_cursor.h"

namespace bitrate {
namespace {

// Names for messages only: types that GGUF files have and that quant_format.h does not.
std::string UnsupportedTypeName(uint32_t type) {
  struct Row {
    uint32_t type;
    std::string_view name;
  };
  constexpr Row kRows[] = {{9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
                           {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {24, "I8"},     {25, "I16"},
                           {26, "I32"},   {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},
                           {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"},   {41, "Q1_0"},   {42, "Q2_0"}};
  for (const Row& row : kRows) {
    if (row.type == type) return fmt::format("{} ({})", row.name, type);
  }
  return fmt::format("{}", type);
}

struct Counts {
  uint32_t version;
  uint64_t tensors, entries;
};

StatusOr<Counts> ReadHeader(ByteCursor* cursor) {
  ASSIGN_OR_RETURN(const std::span<const std::byte> magic, cursor->Take(4, "magic"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) return InvalidArgument("GGUF magic: the file does not start with it");
  Counts counts{};
  ASSIGN_OR_RETURN(counts.version, cursor->Read<uint32_t>("version"));
  if (counts.version != 2 && counts.version != 3) {
    const bool swapped = counts.version != 0 && (counts.version & 0xffffu) == 0;
    return FailedPrecondition("GGUF version {}: want 3{}", counts.version, swapped ? " (a big-endian file?)" : "");
  }
  ASSIGN_OR_RETURN(counts.tensors, cursor->Read<uint64_t>("tensor count"));
  ASSIGN_OR_RETURN(counts.entries, cursor->Read<uint64_t>("metadata count"));
  if (counts.tensors > limits::kMaxTensors) {
    return ResourceExhausted("GGUF tensor count {}: the limit is {}", counts.tensors, limits::kMaxTensors);
  }
  if (counts.entries > limits::kMaxMetadataEntries) {
    return ResourceExhausted("GGUF metadata count {}: the limit is {}", counts.entries, limits::kMaxMetadataEntries);
  }
  // The least an entry takes (key length, key, type, value) and a tensor (name length, name, rank, dimension, type,
  // offset): counts that cannot be true are refused before anything is read or allocated for them.
  constexpr uint64_t kEntryBytes = 8 + 1 + 4 + 1, kTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
  if (counts.entries * kEntryBytes + counts.tensors * kTensorBytes > cursor->remaining()) {
    return DataLoss("GGUF metadata count {} and tensor count {}: more than fit the {} bytes of the file",
                    counts.entries, counts.tensors, cursor->position() + cursor->remaining());
  }
  return counts;
}

StatusOr<uint64_t> Alignment(const GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const uint64_t alignment, metadata.GetU64Or("general.alignment", 32));
  if (alignment < 8 || alignment > (1u << 20) || (alignment & (alignment - 1)) != 0) {
    return InvalidArgument("GGUF metadata general.alignment: got {}, want a power of two from 8 to 1048576", alignment);
  }
  return alignment;
}

StatusOr<std::vector<int64_t>> ReadShape(ByteCursor* cursor, std::string_view name) {
  ASSIGN_OR_RETURN(const uint32_t num_dims, cursor->Read<uint32_t>("dimension count of", name));
  if (num_dims == 0 || num_dims > static_cast<uint32_t>(limits::kMaxTensorDims)) {
    return InvalidArgument("GGUF tensor {}: {} dimensions, want 1 to {}", name, num_dims, limits::kMaxTensorDims);
  }
  std::vector<int64_t> shape(num_dims);
  for (uint32_t i = 0; i < num_dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t dim, cursor->Read<uint64_t>("dimension of", name));
    if (dim == 0 || dim > static_cast<uint64_t>(limits::kMaxTensorElements)) {
      return InvalidArgument("GGUF tensor {}: a dimension of {}, want 1 to {}", name, dim, limits::kMaxTensorElements);
    }
    shape[num_dims - 1 - i] = static_cast<int64_t>(dim);
  }
  return shape;
}

StatusOr<QuantFormatId> ReadFormat(ByteCursor* cursor, std::string_view name) {
  ASSIGN_OR_RETURN(const uint32_t type, cursor->Read<uint32_t>("type of", name));
  const std::optional<QuantFormatId> format = QuantFormatFromGgufType(type);
  if (!format) {
    return FailedPrecondition("GGUF tensor {}: type {} is not supported", name, UnsupportedTypeName(type));
  }
  return *format;
}

// One tensor info; `begin` is still relative to the data section.
StatusOr<GgufTensor> ReadTensor(ByteCursor* cursor, uint64_t index, uint64_t alignment) {
  ASSIGN_OR_RETURN(const std::string_view name, cursor->ReadString(limits::kMaxTensorNameBytes, "tensor name"));
  if (name.empty() || name.find('\0') != std::string_view::npos || !IsValidUtf8(name)) {
    return InvalidArgument("GGUF tensor {}: the name \"{}\" is empty, has a NUL or is not UTF-8", index,
                           Printable(name));
  }
  GgufTensor tensor;
  tensor.name = name;
  ASSIGN_OR_RETURN(tensor.shape, ReadShape(cursor, name));
  ASSIGN_OR_RETURN(tensor.format, ReadFormat(cursor, name));
  ASSIGN_OR_RETURN(tensor.begin, cursor->Read<uint64_t>("offset of", name));
  const QuantFormat& format = GetQuantFormat(tensor.format);
  const auto elements = CheckedElements(tensor.shape, static_cast<uint64_t>(limits::kMaxTensorElements));
  if (!elements) {
    return InvalidArgument("GGUF tensor {}: more than {} elements", name, limits::kMaxTensorElements);
  }
  if (tensor.shape.back() % format.block_elements != 0) {
    return InvalidArgument("GGUF tensor {}: rows of {} are not a multiple of the {} weights in a block of {}", name,
                           tensor.shape.back(), format.block_elements, format.name);
  }
  tensor.bytes = *elements / static_cast<uint64_t>(format.block_elements) * static_cast<uint64_t>(format.block_bytes);
  if (tensor.begin % alignment != 0) {
    return InvalidArgument("GGUF tensor {}: offset {} is not a multiple of the alignment {}", name, tensor.begin,
                           alignment);
  }
  return tensor;
}

// Makes offsets absolute and wants every tensor inside the file and none to overlap another.
Status PlaceTensors(uint64_t data_begin, uint64_t file_bytes, std::vector<GgufTensor>* tensors) {
  std::vector<const GgufTensor*> order;
  order.reserve(tensors->size());
  for (GgufTensor& tensor : *tensors) {
    const auto begin = CheckedAdd(tensor.begin, data_begin);
    const auto end = begin ? CheckedAdd(*begin, tensor.bytes) : std::nullopt;
    if (!end || *end > file_bytes) {
      return DataLoss("GGUF tensor {}: {} bytes at offset {} of the data do not fit the file of {} bytes", tensor.name,
                      tensor.bytes, tensor.begin, file_bytes);
    }
    tensor.begin = *begin;
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->begin < order[i - 1]->begin + order[i - 1]->bytes) {
      return InvalidArgument("GGUF tensor {}: its data overlap those of {}", order[i]->name, order[i - 1]->name);
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<GgufFile> ParseGguf(std::span<const std::byte> file) {
  ByteCursor header(file, 0);
  ASSIGN_OR_RETURN(const Counts counts, ReadHeader(&header));
  GgufFile gguf;
  gguf.version = counts.version;
  uint64_t position = header.position();
  ASSIGN_OR_RETURN(gguf.metadata, ParseGgufMetadata(file, &position, counts.entries));
  ASSIGN_OR_RETURN(gguf.alignment, Alignment(gguf.metadata));
  ASSIGN_OR_RETURN(const uint64_t splits, gguf.metadata.GetU64Or("split.count", 1));
  if (splits > 1) {
    return FailedPrecondition("GGUF metadata split.count: {} files; merge them into one first", splits);
  }
  ByteCursor cursor(file, position);
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < counts.tensors; ++i) {
    ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensor(&cursor, i, gguf.alignment));
    gguf.tensors.push_back(std::move(tensor));
  }
  for (const GgufTensor& tensor : gguf.tensors) {
    if (!names.insert(tensor.name).second)
      return InvalidArgument("GGUF tensor {}: the name appears twice", tensor.name);
  }
  const uint64_t data_begin = (cursor.position() + gguf.alignment - 1) / gguf.alignment * gguf.alignment;
  RETURN_IF_ERROR(PlaceTensors(data_begin, file.size(), &gguf.tensors));
  return gguf;
}

}  // namespace bitrate
