// compressed-tensors folders (llm-compressor). What a module holds says its format: `weight_packed` int32
// (pack-quantized: codes + 2^(bits-1), least significant first along K), `weight_packed` u8 (nvfp4 with a
// `weight_global_scale`, mxfp4 without: two E2M1 codes a byte, the even element low), `weight` int8 (int-quantized) or
// float8 (float-quantized), each with a `weight_scale`. Source: reference quantization 2.4.
#include <fmt/core.h>

#include <algorithm>

#include "engine/artifact/checked.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/format/codebooks.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kScale = ".weight_scale";

struct GroupConfig {
  int64_t bits = 0;
  int64_t group_size = 0;                     // 0: a channel or the tensor
  int64_t block_rows = 0, block_columns = 0;  // of strategy block, else 0
  bool int8_activations = false;
};

enum class Kind { kPacked, kInt8, kFp8, kNvfp4, kMxfp4 };

struct Module {
  std::string name;
  Kind kind = Kind::kPacked;
  int64_t n = 0, k = 0;
  int bits = 8;
  bool dense = true;  // fields of a word may straddle it
  const StoredTensor *codes = nullptr, *scale = nullptr, *zero = nullptr, *group_of = nullptr, *shape = nullptr;
  const StoredTensor* global_scale = nullptr;
  int64_t scale_rows = 1, scale_groups = 1;
  int64_t block_rows = 1, block_columns = 0;  // weights that share a scale; columns 0: a group of the config
};

Status ParseBlock(const json& weights, GroupConfig& config) {
  ASSIGN_OR_RETURN(const json* block, FindArray(weights, "block_structure"));
  if (block == nullptr) return OkStatus();
  if (block->size() != 2) return InvalidArgument("block_structure: got {} extents, wanted 2", block->size());
  ASSIGN_OR_RETURN(config.block_rows, JsonToInt((*block)[0], "block_structure[0]"));
  ASSIGN_OR_RETURN(config.block_columns, JsonToInt((*block)[1], "block_structure[1]"));
  if (std::min(config.block_rows, config.block_columns) >= 1 &&
      std::max(config.block_rows, config.block_columns) <= limits::kMaxHidden) {
    return OkStatus();
  }
  return InvalidArgument("block_structure: got {}, wanted extents of 1 to {}", JsonToText(*block).substr(0, 80),
                         limits::kMaxHidden);
}

StatusOr<GroupConfig> ParseGroup(const json& group) {
  GroupConfig config;
  ASSIGN_OR_RETURN(const json* weights, GetObject(group, "weights"));
  ASSIGN_OR_RETURN(config.bits, GetIntInRange(*weights, "num_bits", 2, 8));
  ASSIGN_OR_RETURN(const std::optional<int64_t> size, FindInt(*weights, "group_size"));
  if (size && *size > 0 && *size <= limits::kMaxHidden) config.group_size = *size;
  RETURN_IF_ERROR(ParseBlock(*weights, config));
  ASSIGN_OR_RETURN(const json* activations, FindObject(group, "input_activations"));
  if (activations == nullptr) return config;
  ASSIGN_OR_RETURN(const std::optional<int64_t> bits, FindInt(*activations, "num_bits"));
  ASSIGN_OR_RETURN(const std::optional<std::string> type, FindString(*activations, "type"));
  config.int8_activations = bits.value_or(0) == 8 && type.value_or("int") == "int";
  return config;
}

// What would change the weights or the arithmetic beyond the tensors that are read here.
Status RefuseUnsupported(const json& section) {
  for (const char* key : {"transform_config", "sparsity_config", "kv_cache_scheme"}) {
    const json* field = FindField(section, key);
    if (field == nullptr || field->empty()) continue;
    if (const json* format = FindField(*field, "format"); format != nullptr && *format == "dense") continue;
    return FailedPrecondition("{}: {} is not supported", key, JsonToText(*field).substr(0, 80));
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> format, FindString(section, "format"));
  constexpr std::string_view kFormats[] = {"pack-quantized",       "int-quantized",        "float-quantized",
                                           "nvfp4-pack-quantized", "mxfp4-pack-quantized", "naive-quantized",
                                           "mixed-precision"};
  if (format && std::find(std::begin(kFormats), std::end(kFormats), *format) == std::end(kFormats)) {
    return FailedPrecondition("format: {} is not supported", Printable(*format));
  }
  return OkStatus();
}

StatusOr<std::vector<GroupConfig>> ParseConfig(const json& section) {
  RETURN_IF_ERROR(RefuseUnsupported(section));
  ASSIGN_OR_RETURN(const json* groups, GetObject(section, "config_groups"));
  std::vector<GroupConfig> configs;
  for (const auto& [name, group] : groups->items()) {
    StatusOr<GroupConfig> config = ParseGroup(group);
    if (!config.ok()) return Annotate(config.status(), "config_groups." + Printable(name));
    configs.push_back(*config);
  }
  if (configs.empty()) return InvalidArgument("config_groups: is empty");
  return configs;
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of the bits that the config names, those that the packed width fits. Two packings of odd widths exist: fields across
// words, and whole fields a word.
Status FindPackedBits(const std::vector<GroupConfig>& configs, Module& m) {
  for (const GroupConfig& config : configs) {
    const int64_t width = m.codes->shape[1], per_word = 32 / config.bits;
    m.bits = static_cast<int>(config.bits);
    m.dense = width == CeilDiv(m.k * config.bits, 32);
    if (m.dense || width == CeilDiv(m.k, per_word)) return OkStatus();
  }
  return InvalidArgument("tensor {}: {} words a row do not hold {} codes of {} bits", m.codes->name, m.codes->shape[1],
                         m.k, configs.front().bits);
}

Status FindShape(const StoredTensors& tensors, const std::vector<GroupConfig>& configs, Module& m) {
  m.n = m.codes->shape[0];
  m.k = m.codes->shape[1];
  if (m.kind == Kind::kNvfp4 || m.kind == Kind::kMxfp4) {
    m.k *= 2;
    m.bits = 4;
  }
  if (m.kind == Kind::kPacked) {
    ASSIGN_OR_RETURN(m.shape, tensors.Get(m.name + ".weight_shape", {"I64", "I32"}, {2}));
    const bool wide = m.shape->dtype == DType::kI64;
    const auto dim = [&](int64_t i) {
      return wide ? ElementAt<int64_t>(m.shape->data, i) : ElementAt<int32_t>(m.shape->data, i);
    };
    m.k = dim(1);
    if (dim(0) != m.n || m.k <= 0 || m.k > 16 * m.codes->shape[1]) {
      return InvalidArgument("tensor {}: got [{}, {}], which {} rows of {} words do not hold", m.shape->name, dim(0),
                             m.k, m.n, m.codes->shape[1]);
    }
    RETURN_IF_ERROR(FindPackedBits(configs, m));
  }
  if (m.n <= 0 || m.k <= 0) return InvalidArgument("tensor {}: an empty shape", m.codes->name);
  return OkStatus();
}

// [N, G], one a row [N, 1] or [N], one of all [1], or blocks of rows and columns.
Status FitScale(const std::vector<GroupConfig>& configs, const std::string& name, size_t rank, Module& m) {
  const bool fits = rank <= 2 && m.scale_groups >= 1 && m.scale_groups <= m.k;
  if (fits && m.scale_rows == m.n) return OkStatus();
  if (fits && m.scale_groups == 1 && m.scale_rows == 1) {
    m.block_rows = m.n;
    return OkStatus();
  }
  for (const GroupConfig& config : configs) {
    if (rank != 2 || config.block_rows == 0 || m.scale_rows != CeilDiv(m.n, config.block_rows) ||
        m.scale_groups != CeilDiv(m.k, config.block_columns)) {
      continue;
    }
    m.block_rows = config.block_rows;
    m.block_columns = config.block_columns;
    return OkStatus();
  }
  return InvalidArgument("tensor {}: got {} x {} scales for a weight of [{}, {}]", name, m.scale_rows, m.scale_groups,
                         m.n, m.k);
}

Status FindScale(const StoredTensors& tensors, const std::vector<GroupConfig>& configs, Module& m) {
  const std::string name = m.name + std::string(kScale);
  const std::vector<int64_t> shape = tensors.Find(name)->shape;
  switch (m.kind) {
    case Kind::kNvfp4: {
      ASSIGN_OR_RETURN(m.scale, tensors.Get(name, {"F8_E4M3"}, {m.n, -1}));
      break;
    }
    case Kind::kMxfp4: {
      ASSIGN_OR_RETURN(m.scale, tensors.Get(name, {"U8"}, {m.n, -1}));
      break;
    }
    default: {
      ASSIGN_OR_RETURN(m.scale, tensors.Get(name, {"F16", "BF16", "F32"}, std::vector<int64_t>(shape.size(), -1)));
    }
  }
  m.scale_rows = shape.empty() ? 1 : shape[0];
  m.scale_groups = shape.size() < 2 ? 1 : shape[1];
  return FitScale(configs, name, shape.size(), m);
}

// The size whose groups are as many as there are scales.
StatusOr<int64_t> GroupSize(const std::vector<GroupConfig>& configs, const Module& m) {
  if (m.kind == Kind::kNvfp4 || m.kind == Kind::kMxfp4) {
    const int64_t size = m.kind == Kind::kNvfp4 ? 16 : 32;
    if (CeilDiv(m.k, size) == m.scale_groups) return size;
  }
  if (m.block_columns > 0) return m.block_columns;
  for (const GroupConfig& config : configs) {
    if (config.group_size > 0 && CeilDiv(m.k, config.group_size) == m.scale_groups) return config.group_size;
  }
  if (m.scale_groups == 1) return m.k;
  return InvalidArgument("tensor {}: {} scales a row do not fit K = {} in the config's groups", m.scale->name,
                         m.scale_groups, m.k);
}

float ScaleAt(const Module& m, const std::vector<float>& e4m3, int64_t row, int64_t group) {
  const int64_t index = row / m.block_rows * m.scale_groups + group;
  if (m.kind == Kind::kMxfp4) return E8m0(ElementAt<uint8_t>(m.scale->data, index));
  if (m.kind != Kind::kNvfp4) return FloatAt(*m.scale, index);
  return e4m3[ElementAt<uint8_t>(m.scale->data, index)] / ElementAt<float>(m.global_scale->data, 0);
}

uint8_t ZeroAt(const Module& m, int64_t row, int64_t group) {
  if (m.kind == Kind::kInt8) {
    return static_cast<uint8_t>(ElementAt<int8_t>(m.zero->data, row * m.scale_groups + group) + 128);
  }
  const auto word = [&](int64_t i) { return ElementAt<uint32_t>(m.zero->data, i * m.scale_groups + group); };
  if (m.dense) return static_cast<uint8_t>(PackedField(word, row, m.bits));
  const int64_t per_word = 32 / m.bits;
  return static_cast<uint8_t>(word(row / per_word) >> (row % per_word * m.bits) & ((1u << m.bits) - 1));
}

void FillCodes(const Module& m, int64_t row, uint8_t* codes) {
  switch (m.kind) {
    case Kind::kInt8:
      for (int64_t i = 0; i < m.k; ++i) {
        codes[i] = static_cast<uint8_t>(ElementAt<int8_t>(m.codes->data, row * m.k + i) + 128);
      }
      return;
    case Kind::kFp8:
      __builtin_memcpy(codes, m.codes->data.data() + row * m.k, static_cast<size_t>(m.k));
      return;
    case Kind::kNvfp4:
    case Kind::kMxfp4:
      __builtin_memcpy(codes, m.codes->data.data() + row * (m.k / 2), static_cast<size_t>(m.k / 2));
      return;
    case Kind::kPacked:
      break;
  }
  const int64_t words = m.codes->shape[1], per_word = 32 / m.bits;
  if (m.bits == 4 || m.bits == 8) {  // as rows have them, but for what pads the last word
    __builtin_memcpy(codes, m.codes->data.data() + row * words * 4, static_cast<size_t>((m.k * m.bits + 7) / 8));
    if (m.k * m.bits % 8 != 0) codes[m.k / 2] &= 15;
    return;
  }
  const auto word = [&](int64_t i) { return ElementAt<uint32_t>(m.codes->data, row * words + i); };
  const uint32_t mask = (1u << m.bits) - 1;
  for (int64_t i = 0; i < m.k; ++i) {
    const uint32_t code = m.dense ? PackedField(word, i, m.bits) : word(i / per_word) >> (i % per_word * m.bits) & mask;
    if (m.bits > 4) {
      codes[i] = static_cast<uint8_t>(code);
    } else {
      codes[i / 2] |= static_cast<uint8_t>(code << (i % 2 * 4));
    }
  }
}

// Empty where groups are runs of K, or where the file says -1: no order.
StatusOr<std::vector<int32_t>> GroupsOf(const Module& m, int64_t group_size) {
  std::vector<int32_t> groups;
  if (m.group_of == nullptr) return groups;
  bool runs = true, none = true;
  groups.resize(static_cast<size_t>(m.k));
  for (int64_t i = 0; i < m.k; ++i) {
    const auto group = ElementAt<int32_t>(m.group_of->data, i);
    none = none && group == -1;
    runs = runs && group == i / group_size;
    groups[static_cast<size_t>(i)] = group;
    if (!none && (group < 0 || group >= m.scale_groups)) {
      return InvalidArgument("tensor {}: element {} is {}, wanted a group 0 to {}", m.group_of->name, i, group,
                             m.scale_groups - 1);
    }
  }
  if (runs || none) groups.clear();
  return groups;
}

StatusOr<WeightMatrix> Make(const Module& m, const CodedLayout& described) {
  auto layout = std::make_shared<CodedLayout>(described);
  const std::vector<float> e4m3 = E4m3Codebook();
  const auto rows = MakeCodedRows(*layout, m.n, m.k);
  for (int64_t row = 0; row < m.n; ++row) {
    const CodedRow parts = RowParts(*layout, m.k, rows->data() + row * layout->RowBytes(m.k));
    FillCodes(m, row, parts.codes);
    for (int64_t g = 0; g < m.scale_groups; ++g) {
      parts.scale[g] = ScaleAt(m, e4m3, row, g);
      if (layout->zero_per_group) parts.zero[g] = ZeroAt(m, row, g);
    }
  }
  return MatrixOfRows(m.name + ".weight", m.n, m.k, std::move(layout), rows);
}

std::string NameOf(const Module& m, const std::vector<GroupConfig>& configs, int64_t group_size) {
  const bool grouped = std::any_of(configs.begin(), configs.end(),
                                   [&](const GroupConfig& config) { return config.group_size == group_size; });
  const std::string group = m.scale_rows == 1 && m.scale_groups == 1 ? "tensor"
                            : m.scale_groups == 1 && !grouped        ? "channel"
                                                                     : fmt::format("g{}", group_size);
  switch (m.kind) {
    case Kind::kPacked:
    case Kind::kInt8:
      return fmt::format("CT-int{}-{}", m.bits, group);
    case Kind::kFp8:
      return "FP8-E4M3-" + group;
    case Kind::kNvfp4:
      return "NVFP4";
    case Kind::kMxfp4:
      return "MXFP4";
  }
  return "?";
}

void SetLayout(const Module& m, const std::vector<GroupConfig>& configs, int64_t group_size, CodedLayout& layout) {
  layout.name = NameOf(m, configs, group_size);
  layout.code_bits = m.bits > 4 ? 8 : 4;
  layout.source_bits = m.bits;
  layout.group_size = group_size;
  layout.fp16_scales = m.scale->dtype == DType::kF16;
  if (m.kind == Kind::kFp8) layout.table = E4m3Codebook();
  if (m.kind == Kind::kNvfp4 || m.kind == Kind::kMxfp4) layout.table = E2m1Codebook();
  layout.zero = 1 << (m.bits - 1);
  layout.zero_per_group = m.zero != nullptr && !layout.is_table();
  layout.int8_activations = std::any_of(configs.begin(), configs.end(), [&](const GroupConfig& config) {
    return config.int8_activations && config.bits == m.bits;
  });
}

// Zeros in the form of the module's codes.
Status FindZero(const StoredTensors& tensors, Module& m) {
  const std::string name = m.name + ".weight_zero_point";
  m.zero = tensors.Find(name);
  if (m.zero == nullptr || m.kind == Kind::kFp8) return OkStatus();
  if (m.kind == Kind::kInt8) {
    const int64_t rows = m.scale_rows;
    if (rows != m.n) return FailedPrecondition("tensor {}: zero points of blocks are not supported", name);
    ASSIGN_OR_RETURN(m.zero, tensors.Get(name, {"I8"}, {rows, m.scale_groups}));
    return OkStatus();
  }
  const int64_t words = m.dense ? CeilDiv(m.n * m.bits, 32) : CeilDiv(m.n, 32 / m.bits);
  ASSIGN_OR_RETURN(m.zero, tensors.Get(name, {"I32"}, {words, m.scale_groups}));
  return OkStatus();
}

StatusOr<bool> FindCodes(const StoredTensors& tensors, Module& m) {
  if (const StoredTensor* packed = tensors.Find(m.name + ".weight_packed"); packed != nullptr) {
    ASSIGN_OR_RETURN(m.codes, tensors.Get(packed->name, {"I32", "U8"}, {-1, -1}));
    if (m.codes->dtype != DType::kU8) return true;
    m.global_scale = tensors.Find(m.name + ".weight_global_scale");
    m.kind = m.global_scale != nullptr ? Kind::kNvfp4 : Kind::kMxfp4;
    if (m.global_scale != nullptr) RETURN_IF_ERROR(tensors.Get(m.global_scale->name, {"F32"}, {1}).status());
    return true;
  }
  const StoredTensor* weight = tensors.Find(m.name + ".weight");
  if (weight == nullptr || weight->shape.size() != 2) return false;
  if (weight->dtype_name != "I8" && weight->dtype_name != "F8_E4M3") return false;
  m.kind = weight->dtype_name == "I8" ? Kind::kInt8 : Kind::kFp8;
  m.codes = weight;
  return true;
}

StatusOr<QuantizedMatrix> Collect(const StoredTensors& tensors, const std::vector<GroupConfig>& configs,
                                  const std::string& name) {
  Module m;
  m.name = name;
  ASSIGN_OR_RETURN(const bool found, FindCodes(tensors, m));
  if (!found) return FailedPrecondition("tensor {}{}: the weight beside it is in no known form", name, kScale);
  RETURN_IF_ERROR(FindShape(tensors, configs, m));
  RETURN_IF_ERROR(FindScale(tensors, configs, m));
  RETURN_IF_ERROR(FindZero(tensors, m));
  if (tensors.Find(name + ".weight_g_idx") != nullptr) {
    ASSIGN_OR_RETURN(m.group_of, tensors.Get(name + ".weight_g_idx", {"I32"}, {m.k}));
  }
  ASSIGN_OR_RETURN(const int64_t group_size, GroupSize(configs, m));
  CodedLayout layout;
  SetLayout(m, configs, group_size, layout);
  ASSIGN_OR_RETURN(layout.group_of, GroupsOf(m, group_size));
  if (!layout.group_of.empty()) layout.name += "-actorder";
  QuantizedMatrix matrix;
  matrix.name = name + ".weight";
  matrix.n = m.n;
  matrix.k = m.k;
  // Scales of static activations are not used: activations are quantized by what they are.
  AccountParts({m.codes, m.scale, m.zero, m.group_of, m.shape, m.global_scale, tensors.Find(name + ".input_scale"),
                tensors.Find(name + ".input_zero_point"), tensors.Find(name + ".input_global_scale")},
               layout, matrix);
  matrix.layout = std::make_shared<const CodedLayout>(layout);
  matrix.make = [m, described = matrix.layout] { return Make(m, *described); };
  return matrix;
}

}  // namespace

StatusOr<std::vector<QuantizedMatrix>> CollectCompressedTensors(const json& section, const StoredTensors& tensors) {
  StatusOr<std::vector<GroupConfig>> configs = ParseConfig(section);
  if (!configs.ok()) return Annotate(configs.status(), "quantization_config");
  return CollectModules(tensors, "compressed-tensors", kScale,
                        [&](const std::string& module) { return Collect(tensors, *configs, module); });
}

}  // namespace bitrate
