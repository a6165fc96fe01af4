// Quantized folders: a config and a handful of tensors, built from the input's bytes so that most of them nearly fit
// together. Oracle beyond "no crash": whatever the readers accept can be made, decodes to n * k values within its
// memory, and takes no more memory than a small multiple of the bytes it came from.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/artifact/quantized_tensors.h"
#include "engine/format/reference_codec.h"

namespace {

using namespace bitrate;
using nlohmann::json;

void Require(bool condition) {
  if (!condition) std::abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  int Next() { return at_ < size_ ? data_[at_++] : 0; }
  template <typename T, size_t kSize>
  const T& Pick(const T (&choices)[kSize]) {
    return choices[static_cast<size_t>(Next()) % kSize];
  }
  std::string Rest() const {
    return std::string(reinterpret_cast<const char*>(data_) + std::min(at_, size_), size_ - std::min(at_, size_));
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

constexpr int64_t kDims[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 33, 48, 64, 96, 128, 192, 0};
constexpr const char* kParts[] = {".qweight",
                                  ".qzeros",
                                  ".scales",
                                  ".g_idx",
                                  ".weight",
                                  ".SCB",
                                  ".weight_format",
                                  ".weight.absmax",
                                  ".weight.quant_map",
                                  ".weight.nested_absmax",
                                  ".weight.nested_quant_map",
                                  ".weight.quant_state.bitsandbytes__nf4",
                                  ".weight_packed",
                                  ".weight_scale",
                                  ".weight_zero_point",
                                  ".weight_shape",
                                  ".weight_g_idx",
                                  ".weight_global_scale"};
struct Type {
  const char* name;
  std::optional<DType> dtype;
  int64_t bytes;
};
const Type kTypes[] = {{"I32", DType::kI32, 4}, {"F16", DType::kF16, 2},     {"BF16", DType::kBF16, 2},
                       {"F32", DType::kF32, 4}, {"U8", DType::kU8, 1},       {"I8", DType::kI8, 1},
                       {"I64", DType::kI64, 8}, {"F8_E4M3", std::nullopt, 1}};

json Config(Input& in) {
  const char* const methods[] = {"gptq", "awq", "bitsandbytes", "compressed-tensors"};
  const int64_t bits[] = {4, 8, 2, 3, 5, 6, 7}, groups[] = {32, 64, 128, -1, 16, 1, 7};
  json config = {{"quant_method", in.Pick(methods)}};
  config["bits"] = in.Pick(bits);
  config["group_size"] = in.Pick(groups);
  const int flags = in.Next();
  config["sym"] = (flags & 1) != 0;
  if ((flags & 2) != 0) config["checkpoint_format"] = "gptq_v2";
  if ((flags & 4) != 0) config["version"] = "gemv";
  if ((flags & 8) != 0) config["dynamic"] = {{"x", 1}};
  config["config_groups"] = {
      {"g", {{"weights", {{"num_bits", config["bits"]}, {"group_size", config["group_size"]}}}}}};
  return config;
}

StoredTensor Tensor(Input& in, const std::string& module) {
  StoredTensor tensor;
  const std::string part = in.Pick(kParts);
  tensor.name = module + part;
  const Type& type = in.Pick(kTypes);
  tensor.dtype_name = type.name;
  tensor.dtype = type.dtype;
  int64_t count = type.bytes;
  for (int rank = in.Next() % 3; rank >= 0; --rank) {
    tensor.shape.push_back(in.Pick(kDims));
    count *= tensor.shape.back();
  }
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count));
  const int fill = in.Next();
  for (size_t i = 0; i < bytes->size(); ++i) (*bytes)[i] = static_cast<std::byte>(fill < 128 ? fill : i * 37 + 11);
  if (part.find("quant_state") != std::string::npos) {
    const int64_t n = in.Pick(kDims), k = in.Pick(kDims);
    json state = {{"blocksize", in.Pick(kDims)}, {"shape", {n, k}}};
    if (in.Next() % 2 == 1) state.update({{"nested_blocksize", in.Pick(kDims)}, {"nested_offset", 0.5}});
    const std::string text = in.Next() % 8 == 0 ? in.Rest() : state.dump();
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    bytes->assign(begin, begin + text.size());
    tensor.shape = {static_cast<int64_t>(text.size())};
  }
  if (part == ".weight_shape" && tensor.shape.size() == 1 && bytes->size() == 16) {
    const int64_t shape[2] = {in.Pick(kDims), in.Pick(kDims)};
    std::memcpy(bytes->data(), shape, sizeof(shape));
  }
  tensor.data = *bytes;
  tensor.owner = bytes;
  return tensor;
}

void Check(const QuantizedMatrix& matrix) {
  Require(matrix.n > 0 && matrix.k > 0 && matrix.layout != nullptr && !matrix.parts.empty());
  const auto made = matrix.make();
  if (!made.ok()) return;
  Require(made->n == matrix.n && made->k == matrix.k && made->coded != nullptr);
  Require(static_cast<int64_t>(made->data.size()) == made->n * made->row_bytes());
  // Blocks of bitsandbytes that straddle rows may need a scale for every weight of half a byte.
  Require(made->data.size() <= 10 * matrix.bytes + 16 * static_cast<size_t>(matrix.n) + 4096);
  std::vector<float> values(static_cast<size_t>(made->n * made->k));
  DecodeRows(*made, 0, made->n, values.data());
  if (FitsInt4(*made->coded, made->k)) {
    Require(static_cast<int64_t>(RepackToInt4(*made, 0, made->n).codes.size()) == made->n * made->k);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const json config = Config(in);
  StoredTensors tensors;
  const int count = in.Next() % 10;
  for (int i = 0; i < count; ++i) tensors.Add(Tensor(in, in.Next() % 4 == 0 ? "b" : "a"));
  const auto matrices = CollectQuantized(config, tensors);
  if (!matrices.ok()) return 0;
  for (const QuantizedMatrix& matrix : *matrices) Check(matrix);
  return 0;
}
