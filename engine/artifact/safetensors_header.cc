#include "engine/artifact/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "engine/artifact/checked.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

struct DTypeRow {
  std::string_view name;
  std::optional<DType> dtype;
  uint64_t bytes;
};

constexpr DTypeRow kDTypes[] = {
    {"F32", DType::kF32, 4},   {"F16", DType::kF16, 2},      {"BF16", DType::kBF16, 2},    {"F64", DType::kF64, 8},
    {"I8", DType::kI8, 1},     {"U8", DType::kU8, 1},        {"I16", DType::kI16, 2},      {"U16", DType::kU16, 2},
    {"I32", DType::kI32, 4},   {"U32", DType::kU32, 4},      {"I64", DType::kI64, 8},      {"U64", DType::kU64, 8},
    {"BOOL", DType::kBool, 1}, {"F8_E4M3", std::nullopt, 1}, {"F8_E5M2", std::nullopt, 1}, {"F8_E8M0", std::nullopt, 1},
};

const DTypeRow* FindDType(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

using nlohmann::json;

// Builds the tensor list while the JSON is read, so that a hostile header costs no document tree, and so that duplicate
// names are seen (a tree would keep the last one silently).
class HeaderSax final : public json::json_sax_t {
 public:
  explicit HeaderSax(SafetensorsHeader* header) : header_(header) {}

  const Status& status() const { return status_; }

  bool key(string_t& name) override {
    if (depth_ == 1) return TopKey(name);
    if (in_metadata_) {
      metadata_key_ = name;
      return true;
    }
    field_ = name == "dtype"          ? Field::kDType
             : name == "shape"        ? Field::kShape
             : name == "data_offsets" ? Field::kOffsets
                                      : Field::kNone;
    if (field_ == Field::kNone) return Fail("unknown field \"" + Printable(name) + "\"");
    if (seen_[static_cast<int>(field_)]) return Fail("field " + Printable(name) + " appears twice");
    seen_[static_cast<int>(field_)] = true;
    return true;
  }

  bool string(string_t& value) override {
    if (in_metadata_ && depth_ == 2) {
      if (header_->metadata.size() == limits::kMaxMetadataEntries) return Fail("too many entries");
      header_->metadata[metadata_key_] = value;
      return true;
    }
    if (depth_ != 2 || field_ != Field::kDType) return Unexpected("a string");
    tensor_.dtype_name = value;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return Unexpected("a number");
    if (field_ == Field::kShape) {
      if (tensor_.shape.size() == static_cast<size_t>(limits::kMaxTensorDims)) {
        return Fail("shape has more than " + std::to_string(limits::kMaxTensorDims) + " dimensions");
      }
      if (value > static_cast<uint64_t>(limits::kMaxTensorElements)) {
        return Fail("shape has a dimension of " + std::to_string(value));
      }
      tensor_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (num_offsets_ == 2) return Fail("data_offsets has more than 2 numbers");
    (num_offsets_ == 0 ? tensor_.begin : tensor_.end) = value;
    ++num_offsets_;
    return true;
  }

  bool number_integer(number_integer_t value) override {
    return Unexpected("negative number " + std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override { return Unexpected("number " + Printable(text)); }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool binary(binary_t&) override { return Unexpected("binary"); }

  bool start_object(size_t) override {
    if (depth_ >= 2 || (depth_ == 1 && in_array_)) return Unexpected("an object");
    ++depth_;
    if (depth_ == 2 && !in_metadata_) {
      field_ = Field::kNone;
      num_offsets_ = 0;
      std::fill(std::begin(seen_), std::end(seen_), false);
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ != 1) return true;
    if (in_metadata_) {
      in_metadata_ = false;
      return true;
    }
    if (!seen_[0] || !seen_[1] || !seen_[2]) return Fail("want the fields dtype, shape and data_offsets");
    if (num_offsets_ != 2) return Fail("data_offsets: want 2 numbers");
    header_->tensors.push_back(std::move(tensor_));
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_array_ || in_metadata_ || (field_ != Field::kShape && field_ != Field::kOffsets)) {
      return Unexpected("an array");
    }
    in_array_ = true;
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    if (status_.ok()) {
      status_ = InvalidArgument("safetensors header: malformed JSON at byte {}: {}", position,
                                Printable(std::string_view(error.what()).substr(0, 200)));
    }
    return false;
  }

 private:
  enum class Field { kDType, kShape, kOffsets, kNone };

  bool TopKey(string_t& name) {
    if (name == "__metadata__") {
      in_metadata_ = true;
      tensor_.name = name;
      return names_.insert(name).second || Fail("appears twice");
    }
    tensor_ = {};
    tensor_.name = name;
    if (header_->tensors.size() == limits::kMaxTensors) {
      status_ = ResourceExhausted("safetensors header: more than {} tensors", limits::kMaxTensors);
      return false;
    }
    if (name.empty()) return Fail("the name is empty");
    if (name.size() > limits::kMaxTensorNameBytes) {
      return Fail("the name has " + std::to_string(name.size()) + " bytes, the limit is " +
                  std::to_string(limits::kMaxTensorNameBytes));
    }
    if (name.find('\0') != std::string::npos) return Fail("the name has a NUL byte");
    if (!names_.insert(name).second) return Fail("the name appears twice");
    return true;
  }

  bool Fail(const std::string& why) {
    if (status_.ok()) status_ = InvalidArgument("safetensors tensor {}: {}", Printable(tensor_.name), why);
    return false;
  }

  bool Unexpected(const std::string& what) {
    if (depth_ == 0) {
      status_ = InvalidArgument("safetensors header: got {}, want an object of tensors", what);
      return false;
    }
    return Fail("unexpected " + what);
  }

  SafetensorsHeader* header_;
  Status status_;
  int depth_ = 0;
  bool in_metadata_ = false, in_array_ = false;
  Field field_ = Field::kNone;
  int num_offsets_ = 0;
  bool seen_[4] = {};
  SafetensorsTensor tensor_;
  std::string metadata_key_;
  std::unordered_set<std::string> names_;
};

Status CheckTensor(SafetensorsTensor* tensor, uint64_t data_bytes) {
  const std::string name = Printable(tensor->name);
  const DTypeRow* dtype = FindDType(tensor->dtype_name);
  if (dtype == nullptr) {
    return FailedPrecondition("safetensors tensor {}: dtype {} is not supported", name, Printable(tensor->dtype_name));
  }
  tensor->dtype = dtype->dtype;
  const auto elements = CheckedElements(tensor->shape, static_cast<uint64_t>(limits::kMaxTensorElements));
  if (!elements) {
    return InvalidArgument("safetensors tensor {}: shape has more than {} elements", name, limits::kMaxTensorElements);
  }
  if (tensor->begin > tensor->end) {
    return InvalidArgument("safetensors tensor {}: data_offsets [{}, {}] run backwards", name, tensor->begin,
                           tensor->end);
  }
  const uint64_t want = *elements * dtype->bytes;  // at most 2^43
  if (tensor->end - tensor->begin != want) {
    return InvalidArgument("safetensors tensor {}: data_offsets span {} bytes, shape and dtype want {}", name,
                           tensor->end - tensor->begin, want);
  }
  if (tensor->end > data_bytes) {
    return DataLoss("safetensors tensor {}: data ends at byte {}, the file has {} bytes of data", name, tensor->end,
                    data_bytes);
  }
  return OkStatus();
}

// Sorts by offset and wants the tensors to follow one another from 0 to the end of the file.
Status CheckLayout(std::vector<SafetensorsTensor>* tensors, uint64_t data_bytes) {
  std::stable_sort(tensors->begin(), tensors->end(), [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t next = 0;
  for (const SafetensorsTensor& tensor : *tensors) {
    if (tensor.begin != next) {
      return InvalidArgument("safetensors tensor {}: data starts at {}, want {} ({})", Printable(tensor.name),
                             tensor.begin, next, tensor.begin < next ? "overlap" : "hole");
    }
    next = tensor.end;
  }
  if (next != data_bytes) {
    return DataLoss("safetensors: tensors cover {} bytes of data, the file has {}", next, data_bytes);
  }
  return OkStatus();
}

}  // namespace

StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file) {
  constexpr uint64_t kPrefix = 8;
  if (file.size() < kPrefix) {
    return DataLoss("safetensors header: the file has {} bytes, want at least {}", file.size(), kPrefix);
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kPrefix);  // little-endian, as every machine we build for
  if (header_bytes > limits::kMaxSafetensorsHeaderBytes) {
    return ResourceExhausted("safetensors header: length {}, the limit is {}", header_bytes,
                             limits::kMaxSafetensorsHeaderBytes);
  }
  if (header_bytes > file.size() - kPrefix) {
    return DataLoss("safetensors header: length {}, the file has {} bytes after it", header_bytes,
                    file.size() - kPrefix);
  }
  const auto* text = reinterpret_cast<const char*>(file.data() + kPrefix);
  SafetensorsHeader header;
  HeaderSax sax(&header);
  // The reference reader wants the object at once, without a byte order mark or leading space.
  if (header_bytes == 0 || *text != '{') return InvalidArgument("safetensors header: does not start with '{{'");
  try {
    if (!json::sax_parse(text, text + header_bytes, &sax)) {
      return sax.status().ok() ? InvalidArgument("safetensors header: malformed JSON") : sax.status();
    }
  } catch (const std::exception& error) {
    return InvalidArgument("safetensors header: {}", Printable(error.what()));
  }
  const uint64_t data_bytes = file.size() - kPrefix - header_bytes;
  for (SafetensorsTensor& tensor : header.tensors) RETURN_IF_ERROR(CheckTensor(&tensor, data_bytes));
  RETURN_IF_ERROR(CheckLayout(&header.tensors, data_bytes));
  for (SafetensorsTensor& tensor : header.tensors) {
    tensor.begin += kPrefix + header_bytes;
    tensor.end += kPrefix + header_bytes;
  }
  return header;
}

std::string_view SafetensorsDTypeName(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.name;
  }
  return "?";
}

}  // namespace bitrate
