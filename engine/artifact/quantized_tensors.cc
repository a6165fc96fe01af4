#include "engine/artifact/quantized_tensors.h"

#include <algorithm>

#include "engine/artifact/checked.h"
#include "engine/base/half.h"
#include "engine/base/json.h"

namespace bitrate {
namespace {

using nlohmann::json;

bool Matches(const std::vector<int64_t>& got, const std::vector<int64_t>& want) {
  return std::equal(got.begin(), got.end(), want.begin(), want.end(),
                    [](int64_t a, int64_t b) { return b < 0 || a == b; });
}

}  // namespace

const StoredTensor* StoredTensors::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &it->second;
}

StatusOr<const StoredTensor*> StoredTensors::Get(std::string_view name, std::initializer_list<std::string_view> dtypes,
                                                 const std::vector<int64_t>& shape) const {
  const StoredTensor* tensor = Find(name);
  if (tensor == nullptr) return InvalidArgument("tensor {}: missing beside its quantized weight", Printable(name));
  if (std::find(dtypes.begin(), dtypes.end(), tensor->dtype_name) == dtypes.end()) {
    std::string wanted;
    for (const std::string_view dtype : dtypes) wanted += (wanted.empty() ? "" : " or ") + std::string(dtype);
    return InvalidArgument("tensor {}: got type {}, wanted {}", Printable(name), tensor->dtype_name, wanted);
  }
  if (!Matches(tensor->shape, shape)) {
    return InvalidArgument("tensor {}: got shape {}, wanted {}", Printable(name), ShapeText(tensor->shape),
                           ShapeText(shape));
  }
  return tensor;
}

StatusOr<std::optional<json>> FindQuantizationConfig(const json& config, std::string_view gptq_file,
                                                     std::string_view awq_file) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (FindField(config, key) == nullptr) continue;
    ASSIGN_OR_RETURN(const json* section, GetObject(config, key));
    return std::optional<json>(*section);
  }
  for (const auto& [file, text, method] :
       {std::tuple("quantize_config.json", gptq_file, "gptq"), std::tuple("quant_config.json", awq_file, "awq")}) {
    if (text.empty()) continue;
    ASSIGN_OR_RETURN(json section, ParseJson(text, file));
    if (!section.is_object()) return InvalidArgument("{}: got {}, want an object", file, section.type_name());
    if (!section.contains("quant_method")) section["quant_method"] = method;
    return std::optional<json>(std::move(section));
  }
  return std::optional<json>();
}

StatusOr<std::vector<QuantizedMatrix>> CollectQuantized(const json& config, const StoredTensors& tensors) {
  ASSIGN_OR_RETURN(const std::string method, GetString(config, "quant_method"));
  if (method == "gptq") return CollectGptq(config, tensors);
  if (method == "awq") return CollectAwq(config, tensors);
  if (method == "bitsandbytes") return CollectBitsandbytes(config, tensors);
  if (method == "compressed-tensors") return CollectCompressedTensors(config, tensors);
  return FailedPrecondition("quant_method: {} is not supported; want gptq, awq, bitsandbytes or compressed-tensors",
                            Printable(method));
}

float FloatAt(const StoredTensor& tensor, int64_t index) {
  if (tensor.dtype == DType::kF32) return ElementAt<float>(tensor.data, index);
  if (tensor.dtype == DType::kF16) return ToFloat(ElementAt<Fp16>(tensor.data, index));
  return ToFloat(ElementAt<Bf16>(tensor.data, index));
}

WeightMatrix MatrixOfRows(const std::string& name, int64_t n, int64_t k, std::shared_ptr<const CodedLayout> layout,
                          std::shared_ptr<const std::vector<std::byte>> rows) {
  WeightMatrix matrix;
  matrix.name = name;
  matrix.format = QuantFormatId::kCoded;
  matrix.n = n;
  matrix.k = k;
  matrix.data = *rows;
  matrix.owner = std::move(rows);
  matrix.coded = std::move(layout);
  return matrix;
}

StatusOr<std::vector<QuantizedMatrix>> CollectModules(
    const StoredTensors& tensors, std::string_view method, std::string_view suffix,
    absl::FunctionRef<StatusOr<QuantizedMatrix>(const std::string& module)> collect) {
  std::vector<QuantizedMatrix> matrices;
  for (const auto& [name, tensor] : tensors.all()) {
    if (!name.ends_with(suffix)) continue;
    ASSIGN_OR_RETURN(QuantizedMatrix matrix, collect(name.substr(0, name.size() - suffix.size())));
    matrices.push_back(std::move(matrix));
  }
  if (matrices.empty()) return InvalidArgument("quantization_config: {}, but no tensor is named *{}", method, suffix);
  return matrices;
}

void AccountParts(std::initializer_list<const StoredTensor*> parts, CodedLayout& layout, QuantizedMatrix& matrix) {
  for (const StoredTensor* part : parts) {
    if (part == nullptr) continue;
    matrix.parts.push_back(part->name);
    matrix.bytes += part->data.size();
  }
  layout.bits_per_weight =
      8.0 * static_cast<double>(matrix.bytes) / (static_cast<double>(matrix.n) * static_cast<double>(matrix.k));
}

}  // namespace bitrate
