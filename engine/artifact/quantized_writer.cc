#include "engine/artifact/quantized_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "engine/artifact/quantized_tensors.h"
#include "engine/base/half.h"

namespace bitrate {
namespace {

using nlohmann::json;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What the encoders share: the parts of every row.
class Source {
 public:
  explicit Source(const WeightMatrix& matrix)
      : matrix_(matrix), layout_(*matrix.coded), groups_(layout_.NumGroups(matrix.k)) {}

  const CodedLayout& layout() const { return layout_; }
  int64_t n() const { return matrix_.n; }
  int64_t k() const { return matrix_.k; }
  int64_t groups() const { return groups_; }
  int bits() const { return layout_.source_bits; }
  std::string module() const { return matrix_.name.substr(0, matrix_.name.rfind(".weight")); }
  uint32_t Code(int64_t row, int64_t i) const {
    return static_cast<uint32_t>(CodeAt(Row(row).codes, layout_.code_bits, i));
  }
  float Scale(int64_t row, int64_t group) const { return Row(row).scale[group]; }
  uint32_t Zero(int64_t row, int64_t group) const {
    return layout_.zero_per_group ? Row(row).zero[group] : static_cast<uint32_t>(layout_.zero);
  }
  // Whether every scale survives `round`.
  template <typename Round>
  bool ScalesAre(Round round) const {
    for (int64_t row = 0; row < n(); ++row) {
      for (int64_t g = 0; g < groups_; ++g) {
        if (!(round(Scale(row, g)) == Scale(row, g))) return false;
      }
    }
    return true;
  }
  bool ScalesAreFp16() const {
    return ScalesAre([](float scale) { return ToFloat(ToFp16(scale)); });
  }

 private:
  CodedRow Row(int64_t row) const {
    return RowParts(layout_, matrix_.k,
                    const_cast<std::byte*>(matrix_.data.data()) + row * layout_.RowBytes(matrix_.k));
  }

  const WeightMatrix& matrix_;
  const CodedLayout& layout_;
  int64_t groups_;
};

EncodedTensor NewTensor(std::string name, DType dtype, std::vector<int64_t> shape) {
  size_t bytes = DTypeBytes(dtype);
  for (const int64_t dim : shape) bytes *= static_cast<size_t>(dim);
  return {std::move(name), dtype, std::move(shape), std::vector<std::byte>(bytes)};
}

template <typename T>
void Put(EncodedTensor& tensor, int64_t index, T value) {
  __builtin_memcpy(tensor.bytes.data() + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Ors `value` into words at `stride` of a tensor of int32, as PackedField reads it.
void PutField(EncodedTensor& tensor, int64_t first, int64_t stride, int64_t index, int bits, uint32_t value) {
  const auto add = [&](int64_t word, uint32_t part) {
    uint32_t old;
    std::byte* at = tensor.bytes.data() + 4 * (first + word * stride);
    __builtin_memcpy(&old, at, sizeof(old));
    old |= part;
    __builtin_memcpy(at, &old, sizeof(old));
  };
  const int64_t bit = index * bits, word = bit / 32, shift = bit % 32;
  add(word, value << shift);
  if (shift + bits > 32) add(word + 1, value >> (32 - shift));
}

EncodedTensor GroupIndices(const Source& s, const std::string& name) {
  EncodedTensor tensor = NewTensor(name, DType::kI32, {s.k()});
  const auto& order = s.layout().group_of;
  for (int64_t i = 0; i < s.k(); ++i) {
    Put(tensor, i, order.empty() ? static_cast<int32_t>(i / s.layout().group_size) : order[static_cast<size_t>(i)]);
  }
  return tensor;
}

// [G, N] fp16.
EncodedTensor ScalesByGroup(const Source& s) {
  EncodedTensor tensor = NewTensor(s.module() + ".scales", DType::kF16, {s.groups(), s.n()});
  for (int64_t g = 0; g < s.groups(); ++g) {
    for (int64_t row = 0; row < s.n(); ++row) Put(tensor, g * s.n() + row, ToFp16(s.Scale(row, g)).bits);
  }
  return tensor;
}

StatusOr<std::vector<EncodedTensor>> EncodeGptq(const Source& s) {
  const int bits = s.bits();
  if (s.k() * bits % 32 != 0 || s.n() * bits % 32 != 0) {
    return FailedPrecondition("{}: GPTQ packs whole words, which [{}, {}] of {} bits are not", s.module(), s.n(), s.k(),
                              bits);
  }
  EncodedTensor codes = NewTensor(s.module() + ".qweight", DType::kI32, {s.k() * bits / 32, s.n()});
  for (int64_t row = 0; row < s.n(); ++row) {
    for (int64_t i = 0; i < s.k(); ++i) PutField(codes, row, s.n(), i, bits, s.Code(row, i));
  }
  EncodedTensor zeros = NewTensor(s.module() + ".qzeros", DType::kI32, {s.groups(), s.n() * bits / 32});
  for (int64_t g = 0; g < s.groups(); ++g) {
    for (int64_t row = 0; row < s.n(); ++row) {
      if (s.Zero(row, g) >> bits != 0) {
        return FailedPrecondition("{}: a zero of {}, and GPTQ stores {} bits", s.module(), s.Zero(row, g), bits);
      }
      PutField(zeros, g * zeros.shape[1], 1, row, bits, s.Zero(row, g));
    }
  }
  std::vector<EncodedTensor> tensors;
  tensors.push_back(std::move(codes));
  tensors.push_back(std::move(zeros));
  tensors.push_back(ScalesByGroup(s));
  tensors.push_back(GroupIndices(s, s.module() + ".g_idx"));
  return tensors;
}

StatusOr<std::vector<EncodedTensor>> EncodeAwq(const Source& s) {
  if (s.bits() != 4 || !s.layout().group_of.empty() || s.n() % 8 != 0 || s.k() % s.layout().group_size != 0) {
    return FailedPrecondition(
        "{}: AWQ holds 4-bit codes in whole groups in order and rows in eights; got {} as [{}, {}]", s.module(),
        s.layout().name, s.n(), s.k());
  }
  EncodedTensor codes = NewTensor(s.module() + ".qweight", DType::kI32, {s.k(), s.n() / 8});
  EncodedTensor zeros = NewTensor(s.module() + ".qzeros", DType::kI32, {s.groups(), s.n() / 8});
  for (int64_t row = 0; row < s.n(); ++row) {
    const int64_t nibble = kAwqNibbleOfColumn[static_cast<size_t>(row % 8)];
    const auto put = [&](EncodedTensor& tensor, int64_t line, uint32_t value) {
      PutField(tensor, line * (s.n() / 8) + row / 8, 1, nibble, 4, value);
    };
    for (int64_t i = 0; i < s.k(); ++i) put(codes, i, s.Code(row, i));
    for (int64_t g = 0; g < s.groups(); ++g) put(zeros, g, s.Zero(row, g));
  }
  std::vector<EncodedTensor> tensors;
  tensors.push_back(std::move(codes));
  tensors.push_back(std::move(zeros));
  tensors.push_back(ScalesByGroup(s));
  return tensors;
}

// [N, G] in the smallest type that holds them.
EncodedTensor ScalesByRow(const Source& s) {
  const bool bf16 = s.ScalesAre([](float scale) { return ToFloat(ToBf16(scale)); });
  const DType dtype = bf16 ? DType::kBF16 : s.ScalesAreFp16() ? DType::kF16 : DType::kF32;
  EncodedTensor tensor = NewTensor(s.module() + ".weight_scale", dtype, {s.n(), s.groups()});
  for (int64_t row = 0; row < s.n(); ++row) {
    for (int64_t g = 0; g < s.groups(); ++g) {
      const int64_t at = row * s.groups() + g;
      const float scale = s.Scale(row, g);
      if (dtype == DType::kBF16) Put(tensor, at, ToBf16(scale).bits);
      if (dtype == DType::kF16) Put(tensor, at, ToFp16(scale).bits);
      if (dtype == DType::kF32) Put(tensor, at, scale);
    }
  }
  return tensor;
}

StatusOr<std::vector<EncodedTensor>> EncodePacked(const Source& s) {
  const int bits = s.bits();
  if (bits != 4 && bits != 8) {
    return FailedPrecondition("{}: pack-quantized is written with 4 or 8 bits, got {}", s.module(), bits);
  }
  std::vector<EncodedTensor> tensors;
  EncodedTensor codes = NewTensor(s.module() + ".weight_packed", DType::kI32, {s.n(), CeilDiv(s.k() * bits, 32)});
  for (int64_t row = 0; row < s.n(); ++row) {
    for (int64_t i = 0; i < s.k(); ++i) PutField(codes, row * codes.shape[1], 1, i, bits, s.Code(row, i));
  }
  tensors.push_back(std::move(codes));
  tensors.push_back(ScalesByRow(s));
  EncodedTensor shape = NewTensor(s.module() + ".weight_shape", DType::kI64, {2});
  Put(shape, 0, s.n());
  Put(shape, 1, s.k());
  tensors.push_back(std::move(shape));
  if (!s.layout().group_of.empty()) tensors.push_back(GroupIndices(s, s.module() + ".weight_g_idx"));
  // No zeros mean the middle of the codes.
  if (!s.layout().zero_per_group && s.layout().zero == 1 << (bits - 1)) return tensors;
  EncodedTensor zeros =
      NewTensor(s.module() + ".weight_zero_point", DType::kI32, {CeilDiv(s.n() * bits, 32), s.groups()});
  for (int64_t g = 0; g < s.groups(); ++g) {
    for (int64_t row = 0; row < s.n(); ++row) PutField(zeros, g, s.groups(), row, bits, s.Zero(row, g));
  }
  tensors.push_back(std::move(zeros));
  return tensors;
}

}  // namespace

StatusOr<std::vector<EncodedTensor>> EncodeQuantized(QuantizedFormat format, const WeightMatrix& matrix) {
  if (matrix.coded == nullptr || matrix.coded->is_table()) {
    return FailedPrecondition("{}: {} has no codes on an affine grid", matrix.name, matrix.format_name());
  }
  const Source source(matrix);
  if (format != QuantizedFormat::kPackQuantized && !source.ScalesAreFp16()) {
    return FailedPrecondition("{}: has scales that fp16 does not hold", source.module());
  }
  switch (format) {
    case QuantizedFormat::kGptqV2:
      return EncodeGptq(source);
    case QuantizedFormat::kAwqGemm:
      return EncodeAwq(source);
    case QuantizedFormat::kPackQuantized:
      break;
  }
  return EncodePacked(source);
}

json MakeQuantizationConfig(QuantizedFormat format, const CodedLayout& layout) {
  const bool symmetric = !layout.zero_per_group;
  switch (format) {
    case QuantizedFormat::kGptqV2:
      return {{"quant_method", "gptq"},     {"checkpoint_format", "gptq_v2"},
              {"bits", layout.source_bits}, {"group_size", layout.group_size},
              {"sym", symmetric},           {"desc_act", !layout.group_of.empty()}};
    case QuantizedFormat::kAwqGemm:
      return {{"quant_method", "awq"},           {"version", "gemm"},  {"bits", 4},
              {"group_size", layout.group_size}, {"zero_point", true}, {"modules_to_not_convert", nullptr}};
    case QuantizedFormat::kPackQuantized:
      break;
  }
  json weights = {{"num_bits", layout.source_bits},  {"type", "int"},   {"symmetric", symmetric}, {"strategy", "group"},
                  {"group_size", layout.group_size}, {"dynamic", false}};
  if (!layout.group_of.empty()) weights["actorder"] = "group";
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"ignore", {"lm_head"}},
          {"config_groups",
           {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}}}}}};
}

}  // namespace bitrate
