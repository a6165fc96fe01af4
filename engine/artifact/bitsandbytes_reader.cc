// bitsandbytes folders. Four bits: `weight` holds two codes a byte, the even element in the high nibble, whatever type
// its bytes are viewed as; blocks of 64 (or another size) run over the flat tensor; `absmax` f32, or u8 codes into a
// nested map with blocks of their own; `quant_map` the codebook; `quant_state.*` a JSON text. Eight bits: `weight` int8
// with `SCB`, w = code * (SCB / 127). Source: reference quantization 1.5, 2.3.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "engine/artifact/checked.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kStateInfix = ".quant_state.bitsandbytes__";
constexpr std::string_view kScb = ".SCB";
constexpr int kInt8Zero = 128;

struct FourBit {
  std::string name;  // with ".weight"
  int64_t n = 0, k = 0, block = 64, nested_block = 256;
  double nested_offset = 0;
  const StoredTensor *codes = nullptr, *absmax = nullptr, *map = nullptr, *state = nullptr;
  const StoredTensor *nested_absmax = nullptr, *nested_map = nullptr;  // double quantization only
  bool nested() const { return nested_absmax != nullptr; }
};

StatusOr<json> ParseState(const StoredTensor& state) {
  const auto* text = reinterpret_cast<const char*>(state.data.data());
  ASSIGN_OR_RETURN(json value, ParseJson(std::string_view(text, state.data.size()), state.name));
  if (!value.is_object()) return InvalidArgument("tensor {}: got {}, want an object", state.name, value.type_name());
  return value;
}

Status ReadState(const StoredTensors& tensors, FourBit& m) {
  ASSIGN_OR_RETURN(const json state, ParseState(*m.state));
  ASSIGN_OR_RETURN(m.block, GetIntInRange(state, "blocksize", 2, 1 << 20));
  ASSIGN_OR_RETURN(const json* shape, GetArray(state, "shape"));
  if (shape->size() != 2) return InvalidArgument("shape: got {} dimensions, wanted 2", shape->size());
  ASSIGN_OR_RETURN(m.n, JsonToInt((*shape)[0], "shape[0]"));
  ASSIGN_OR_RETURN(m.k, JsonToInt((*shape)[1], "shape[1]"));
  const std::vector<int64_t> dims = {m.n, m.k};
  const auto elements = CheckedElements(dims, limits::kMaxTensorElements);
  if (m.n <= 0 || m.k <= 0 || !elements || (*elements + 1) / 2 != m.codes->data.size()) {
    return InvalidArgument("shape: [{}, {}] does not fit the {} bytes of {}", m.n, m.k, m.codes->data.size(),
                           m.codes->name);
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> nested, FindInt(state, "nested_blocksize"));
  if (!nested) return OkStatus();
  ASSIGN_OR_RETURN(m.nested_block, GetIntInRange(state, "nested_blocksize", 1, 1 << 20));
  ASSIGN_OR_RETURN(m.nested_offset, GetFloat(state, "nested_offset"));
  const int64_t blocks = (m.n * m.k + m.block - 1) / m.block;
  ASSIGN_OR_RETURN(m.nested_absmax,
                   tensors.Get(m.name + ".nested_absmax", {"F32"}, {(blocks + m.nested_block - 1) / m.nested_block}));
  ASSIGN_OR_RETURN(m.nested_map, tensors.Get(m.name + ".nested_quant_map", {"F32"}, {256}));
  return OkStatus();
}

float AbsMax(const FourBit& m, int64_t block) {
  if (!m.nested()) return ElementAt<float>(m.absmax->data, block);
  const auto code = ElementAt<uint8_t>(m.absmax->data, block);
  const float value =
      ElementAt<float>(m.nested_map->data, code) * ElementAt<float>(m.nested_absmax->data, block / m.nested_block);
  return value + static_cast<float>(m.nested_offset);
}

uint8_t CodeOf(const FourBit& m, int64_t element) {
  const auto byte = ElementAt<uint8_t>(m.codes->data, element / 2);
  return element % 2 == 0 ? byte >> 4 : byte & 15;
}

// The codes of a row, two a byte with the even one low.
void FillRow(const FourBit& m, int64_t first, uint8_t* codes) {
  if (m.k % 2 == 0) {  // whole bytes, their nibbles the other way round
    for (int64_t i = 0; i < m.k / 2; ++i) {
      const auto byte = ElementAt<uint8_t>(m.codes->data, first / 2 + i);
      codes[i] = static_cast<uint8_t>(byte << 4 | byte >> 4);
    }
    return;
  }
  for (int64_t i = 0; i < m.k; ++i) codes[i / 2] |= static_cast<uint8_t>(CodeOf(m, first + i) << (i % 2 * 4));
}

StatusOr<WeightMatrix> MakeFourBit(const FourBit& m, const CodedLayout& described) {
  auto layout = std::make_shared<CodedLayout>(described);
  for (size_t i = 0; i < layout->table.size(); ++i) {
    layout->table[i] = ElementAt<float>(m.map->data, static_cast<int64_t>(i));
  }
  const auto rows = MakeCodedRows(*layout, m.n, m.k);
  for (int64_t row = 0; row < m.n; ++row) {
    const CodedRow parts = RowParts(*layout, m.k, rows->data() + row * layout->RowBytes(m.k));
    const int64_t first = row * m.k;
    FillRow(m, first, parts.codes);
    for (int64_t g = 0; g < layout->NumGroups(m.k); ++g) {
      parts.scale[g] = AbsMax(m, (first + g * layout->group_size) / m.block);
    }
  }
  return MatrixOfRows(m.name, m.n, m.k, std::move(layout), rows);
}

StatusOr<QuantizedMatrix> CollectFourBit(const StoredTensors& tensors, const StoredTensor& state, size_t infix) {
  FourBit m;
  m.state = &state;
  m.name = state.name.substr(0, infix);
  std::string type = state.name.substr(infix + kStateInfix.size());
  if (type != "nf4" && type != "fp4") {
    return FailedPrecondition("tensor {}: type {} is not supported; want nf4 or fp4", state.name, Printable(type));
  }
  m.codes = tensors.Find(m.name);
  if (m.codes == nullptr) return InvalidArgument("tensor {}: there is no {}", state.name, Printable(m.name));
  const Status read = ReadState(tensors, m);
  if (!read.ok()) return Annotate(read, state.name);
  const int64_t blocks = (m.n * m.k + m.block - 1) / m.block;
  ASSIGN_OR_RETURN(m.absmax, tensors.Get(m.name + ".absmax", {m.nested() ? "U8" : "F32"}, {blocks}));
  ASSIGN_OR_RETURN(m.map, tensors.Get(m.name + ".quant_map", {"F32"}, {16}));
  std::transform(type.begin(), type.end(), type.begin(), [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  type[2] = '4';
  CodedLayout layout;
  layout.name = fmt::format("{}-g{}{}", type, m.block, m.nested() ? "-dq" : "");
  // Where a block straddles rows, groups of the greatest common divisor lie in one block each.
  layout.group_size = std::gcd(m.k, m.block);
  layout.table.resize(16);
  QuantizedMatrix matrix;
  matrix.name = m.name;
  matrix.n = m.n;
  matrix.k = m.k;
  AccountParts({m.codes, m.absmax, m.map, m.state, m.nested_absmax, m.nested_map}, layout, matrix);
  matrix.layout = std::make_shared<const CodedLayout>(layout);
  matrix.make = [m, described = matrix.layout] { return MakeFourBit(m, *described); };
  return matrix;
}

StatusOr<WeightMatrix> MakeEightBit(const std::string& name, const StoredTensor& codes, const StoredTensor& scb,
                                    std::shared_ptr<const CodedLayout> layout) {
  const int64_t n = codes.shape[0], k = codes.shape[1];
  const auto rows = MakeCodedRows(*layout, n, k);
  for (int64_t row = 0; row < n; ++row) {
    const CodedRow parts = RowParts(*layout, k, rows->data() + row * layout->RowBytes(k));
    for (int64_t i = 0; i < k; ++i) {
      parts.codes[i] = static_cast<uint8_t>(ElementAt<int8_t>(codes.data, row * k + i) + kInt8Zero);
    }
    parts.scale[0] = ElementAt<float>(scb.data, row) / 127.0f;
  }
  return MatrixOfRows(name, n, k, std::move(layout), rows);
}

StatusOr<QuantizedMatrix> CollectEightBit(const StoredTensors& tensors, const StoredTensor& scb) {
  const std::string module = scb.name.substr(0, scb.name.size() - kScb.size());
  ASSIGN_OR_RETURN(const StoredTensor* codes, tensors.Get(module + ".weight", {"I8"}, {-1, -1}));
  const int64_t n = codes->shape[0], k = codes->shape[1];
  if (n <= 0 || k <= 0) return InvalidArgument("tensor {}: an empty shape", codes->name);
  RETURN_IF_ERROR(tensors.Get(scb.name, {"F32"}, {n}).status());
  const StoredTensor* format = tensors.Find(module + ".weight_format");
  if (format != nullptr && (format->data.size() != 1 || ElementAt<uint8_t>(format->data, 0) != 0)) {
    return FailedPrecondition("tensor {}: only format 0 (row) is supported", format->name);
  }
  CodedLayout layout;
  layout.name = "LLM.int8-channel";
  layout.code_bits = layout.source_bits = 8;
  layout.group_size = k;
  layout.zero = kInt8Zero;
  QuantizedMatrix matrix;
  matrix.name = module + ".weight";
  matrix.n = n;
  matrix.k = k;
  AccountParts({codes, &scb, format}, layout, matrix);
  matrix.layout = std::make_shared<const CodedLayout>(layout);
  matrix.make = [name = matrix.name, codes, scb = &scb, shared = matrix.layout] {
    return MakeEightBit(name, *codes, *scb, shared);
  };
  return matrix;
}

}  // namespace

StatusOr<std::vector<QuantizedMatrix>> CollectBitsandbytes(const json&, const StoredTensors& tensors) {
  std::vector<QuantizedMatrix> matrices;
  for (const auto& [name, tensor] : tensors.all()) {
    if (const size_t infix = name.find(kStateInfix); infix != std::string::npos) {
      ASSIGN_OR_RETURN(QuantizedMatrix matrix, CollectFourBit(tensors, tensor, infix));
      matrices.push_back(std::move(matrix));
    } else if (name.ends_with(kScb)) {
      ASSIGN_OR_RETURN(QuantizedMatrix matrix, CollectEightBit(tensors, tensor));
      matrices.push_back(std::move(matrix));
    }
  }
  if (matrices.empty()) {
    return InvalidArgument("quantization_config: bitsandbytes, but no tensor is named *{}* or *{}", kStateInfix, kScb);
  }
  return matrices;
}

}  // namespace bitrate
