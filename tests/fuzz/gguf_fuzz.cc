// GGUF files, with mutations that know the structure (byte-level mutation dies at the magic number).
// Oracles beyond "no crash": an accepted file has its tensors inside it and apart from one another; every getter of
// every key answers; every tensor decodes, dequantizes and repacks within the bytes it has.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/artifact/gguf_checkpoint.h"
#include "engine/artifact/gguf_file.h"
#include "engine/format/reference_codec.h"

namespace {

using namespace bitrate;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckPlacement(const GgufFile& gguf, size_t file_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const GgufTensor& tensor : gguf.tensors) {
    Require(tensor.bytes > 0 && tensor.begin <= file_bytes && tensor.bytes <= file_bytes - tensor.begin);
    ranges.emplace_back(tensor.begin, tensor.begin + tensor.bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) Require(ranges[i].first >= ranges[i - 1].second);
}

void AskEverything(const GgufMetadata& metadata) {
  for (const std::string& key : metadata.keys()) {
    (void)metadata.GetString(key);
    (void)metadata.GetU64(key);
    (void)metadata.GetI64(key);
    (void)metadata.GetF64(key);
    (void)metadata.GetBool(key);
    (void)metadata.GetStringArray(key);
    (void)metadata.GetFloatArray(key);
    (void)metadata.GetIntArray(key);
    Require(!metadata.TypeText(key).empty());
    (void)metadata.Describe(key);
  }
}

void UseTensors(const Checkpoint& checkpoint) {
  for (const TensorInfo& info : checkpoint.tensors()) {
    std::vector<int64_t> shape;
    const auto values = checkpoint.Decode(info.canonical_name, &shape);
    Require(values.ok() && shape == info.shape);
    (void)checkpoint.Decode(info.name, nullptr);
    (void)checkpoint.Vector(info.canonical_name);
    const auto matrix = checkpoint.Matrix(info.canonical_name);
    Require(matrix.ok() == (info.shape.size() == 2));
    if (!matrix.ok()) continue;
    std::vector<float> rows(static_cast<size_t>(matrix->n * matrix->k));
    DecodeRows(*matrix, 0, matrix->n, rows.data());
    Require(std::memcmp(rows.data(), values->data(), rows.size() * sizeof(float)) == 0);
    if (IsFourBitGrid(matrix->format)) (void)RepackToInt4(*matrix, 0, matrix->n);
    // What a leak of foreign memory would end up in: quantizing after loading.
    (void)QuantizeInt8(rows, matrix->n, matrix->k, 64);
    (void)QuantizeInt4(rows, matrix->n, matrix->k, 32, Int4Offset::kMin);
  }
  (void)checkpoint.digest();
}

// Where a file's numbers are, as far as it can be walked.
struct Field {
  size_t position;
  size_t bytes;  // 4 or 8
};

class Walker {
 public:
  Walker(const uint8_t* data, size_t size) : data_(data), size_(size) {
    Skip(4);
    Number(4);
    const uint64_t tensors = Number(8), entries = Number(8);
    for (uint64_t i = 0; i < entries && ok_; ++i) {
      Text();
      Value(static_cast<uint32_t>(Number(4)), 0);
    }
    for (uint64_t i = 0; i < tensors && ok_; ++i) {
      Text();
      const uint64_t rank = Number(4);
      for (uint64_t d = 0; d < rank && ok_; ++d) Number(8);
      Number(4);
      Number(8);
    }
  }
  const std::vector<Field>& fields() const { return fields_; }

 private:
  void Skip(uint64_t count) {
    ok_ = ok_ && count <= size_ - position_;
    if (ok_) position_ += count;
  }
  uint64_t Number(size_t bytes) {
    const size_t at = position_;
    Skip(bytes);
    if (!ok_) return 0;
    fields_.push_back({at, bytes});
    uint64_t value = 0;
    std::memcpy(&value, data_ + at, bytes);
    return value;
  }
  void Text() { Skip(Number(8)); }
  void Value(uint32_t type, int depth) {
    constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) return Text();
    if (type != 9) return type < sizeof(kBytes) ? Skip(kBytes[type]) : Skip(size_);
    if (depth > 4) return Skip(size_);
    const uint32_t element = static_cast<uint32_t>(Number(4));
    const uint64_t count = Number(8);
    for (uint64_t i = 0; i < count && ok_; ++i) Value(element, depth + 1);
  }

  const uint8_t* data_;
  size_t size_, position_ = 0;
  bool ok_ = true;
  std::vector<Field> fields_;
};

uint64_t Interesting(uint32_t random, uint64_t old, size_t size) {
  const uint64_t choices[] = {0,
                              1,
                              old + 1,
                              old - 1,
                              old * 2,
                              old ^ (uint64_t{1} << (random % 64)),
                              size,
                              size - old,
                              0x7fffffff,
                              0xffffffff,
                              uint64_t{1} << 32,
                              uint64_t{1} << 40,
                              uint64_t{1} << 61,
                              uint64_t{1} << 63,
                              UINT64_MAX,
                              random % 16,
                              (random % 64) * 32,
                              UINT64_MAX - 31};
  return choices[(random >> 8) % std::size(choices)];
}

}  // namespace

// libFuzzer's own; absent where the corpus runs as a test.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  const Walker walker(data, size);
  if (walker.fields().empty() || seed % 3 == 0) return LLVMFuzzerMutate(data, size, max_size);
  uint32_t random = seed;
  for (unsigned i = 0; i <= seed % 2; ++i) {
    random = random * 1664525u + 1013904223u;
    const Field field = walker.fields()[(random >> 4) % walker.fields().size()];
    uint64_t value = 0;
    std::memcpy(&value, data + field.position, field.bytes);
    value = Interesting(random * 2654435761u, value, size);
    std::memcpy(data + field.position, &value, field.bytes);
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto gguf = ParseGguf(bytes);
  if (!gguf.ok()) {
    Require(gguf.status().code() != StatusCode::kInternal && !gguf.status().message().empty());
  } else {
    CheckPlacement(*gguf, size);
    AskEverything(gguf->metadata);
  }
  const auto checkpoint = GgufCheckpointFromMapping(MappedFile::FromBytes("fuzz.gguf", bytes));
  if (checkpoint.ok()) {
    Require(gguf.ok());
    UseTensors(**checkpoint);
  }
  return 0;
}
