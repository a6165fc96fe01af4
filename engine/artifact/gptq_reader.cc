// GPTQ folders (AutoGPTQ, GPTQModel): `qweight` [K * bits / 32, N] packed along K, `qzeros` [G, N * bits / 32] packed
// along N, `scales` [G, N], `g_idx` [K]. w[k, n] = scale[g_idx[k], n] * (code - zero). The first checkpoint format
// stores each zero less one (see AddOneToZeros); gptq_v2 stores it. Source: reference quantization 2.1.
#include <fmt/core.h>

#include <algorithm>

#include "engine/artifact/checked.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kSuffix = ".qweight";

struct GptqConfig {
  int64_t bits = 4;
  int64_t group_size = -1;  // -1: one group
  bool symmetric = true;
  bool zeros_less_one = true;
  bool mixed = false;  // modules may differ from `bits` and `group_size`
};

struct GptqModule {
  std::string name;
  int64_t n = 0, k = 0, groups = 0;
  int bits = 4;
  bool zeros_less_one = true;
  const StoredTensor *codes = nullptr, *zeros = nullptr, *scales = nullptr, *group_of = nullptr;
};

StatusOr<GptqConfig> ParseConfig(const json& section) {
  GptqConfig config;
  for (const char* key : {"bits", "w_bit"}) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> bits, FindInt(section, key));
    if (bits) config.bits = *bits;
  }
  for (const char* key : {"group_size", "q_group_size"}) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> size, FindInt(section, key));
    if (size) config.group_size = *size;
  }
  if (config.bits != 2 && config.bits != 3 && config.bits != 4 && config.bits != 8) {
    return InvalidArgument("bits: got {}, wanted 2, 3, 4 or 8", config.bits);
  }
  if (config.group_size != -1 && (config.group_size < 1 || config.group_size > limits::kMaxHidden)) {
    return InvalidArgument("group_size: got {}, wanted -1 or 1 to {}", config.group_size, limits::kMaxHidden);
  }
  ASSIGN_OR_RETURN(const std::optional<bool> sym, FindBool(section, "sym"));
  config.symmetric = sym.value_or(true);
  ASSIGN_OR_RETURN(std::optional<std::string> format, FindString(section, "checkpoint_format"));
  if (!format) {
    ASSIGN_OR_RETURN(format, FindString(section, "format"));
  }
  ASSIGN_OR_RETURN(const std::optional<bool> marlin, FindBool(section, "is_marlin_format"));
  if (marlin.value_or(false)) format = "marlin";
  if (format && *format != "gptq" && *format != "gptq_v2") {
    return FailedPrecondition("checkpoint_format: {} is not supported; want gptq or gptq_v2", Printable(*format));
  }
  config.zeros_less_one = !format || *format == "gptq";
  const json* dynamic = FindField(section, "dynamic");
  config.mixed = dynamic != nullptr && !dynamic->empty();
  return config;
}

// Zero `column` of a group. A word that holds whole fields had one taken from each by a single subtraction, which a
// zero of 0 made borrow from its neighbour; a single addition undoes that. Fields of three bits stand alone.
uint32_t ZeroAt(const GptqModule& m, int64_t group, int64_t column) {
  const int64_t words = m.n * m.bits / 32;
  uint32_t one = 0;
  if (m.zeros_less_one && m.bits != 3) one = m.bits == 2 ? 0x55555555u : m.bits == 4 ? 0x11111111u : 0x01010101u;
  const auto word = [&](int64_t i) { return ElementAt<uint32_t>(m.zeros->data, group * words + i) + one; };
  const uint32_t field = PackedField(word, column, m.bits);
  return m.zeros_less_one && m.bits == 3 ? (field + 1) & 7 : field;
}

// Codes of four and eight bits lie in their words as they do in rows.
void CopyCodes(const GptqModule& m, int64_t row_bytes, std::byte* rows) {
  const int64_t words = m.k * m.bits / 32;
  constexpr int64_t kTile = 16;
  for (int64_t begin = 0; begin < words; begin += kTile) {
    for (int64_t row = 0; row < m.n; ++row) {
      for (int64_t i = begin; i < std::min(words, begin + kTile); ++i) {
        const auto word = ElementAt<uint32_t>(m.codes->data, i * m.n + row);
        __builtin_memcpy(rows + row * row_bytes + i * 4, &word, sizeof(word));
      }
    }
  }
}

// Codes of two and three bits take four.
void WidenCodes(const GptqModule& m, int64_t row_bytes, std::byte* rows) {
  for (int64_t row = 0; row < m.n; ++row) {
    auto* codes = reinterpret_cast<uint8_t*>(rows + row * row_bytes);
    const auto word = [&](int64_t i) { return ElementAt<uint32_t>(m.codes->data, i * m.n + row); };
    for (int64_t i = 0; i < m.k; ++i) codes[i / 2] |= static_cast<uint8_t>(PackedField(word, i, m.bits) << (i % 2 * 4));
  }
}

// Empty where groups are runs of K.
StatusOr<std::vector<int32_t>> GroupsOf(const GptqModule& m, int64_t group_size) {
  std::vector<int32_t> groups;
  if (m.group_of == nullptr) return groups;
  bool runs = true;
  groups.resize(static_cast<size_t>(m.k));
  for (int64_t i = 0; i < m.k; ++i) {
    const auto group = ElementAt<int32_t>(m.group_of->data, i);
    if (group < 0 || group >= m.groups) {
      return InvalidArgument("tensor {}: element {} is {}, wanted a group 0 to {}", m.group_of->name, i, group,
                             m.groups - 1);
    }
    groups[static_cast<size_t>(i)] = group;
    runs = runs && group == i / group_size;
  }
  if (runs) groups.clear();
  return groups;
}

bool AllZerosAre(const GptqModule& m, uint32_t zero) {
  for (int64_t g = 0; g < m.groups; ++g) {
    for (int64_t column = 0; column < m.n; ++column) {
      if (ZeroAt(m, g, column) != zero) return false;
    }
  }
  return true;
}

StatusOr<WeightMatrix> Make(const GptqModule& m, const CodedLayout& described) {
  auto layout = std::make_shared<CodedLayout>(described);
  // A symmetric grid is a promise of the config; files have broken it.
  if (!layout->zero_per_group && !AllZerosAre(m, static_cast<uint32_t>(layout->zero))) layout->zero_per_group = true;
  const auto rows = MakeCodedRows(*layout, m.n, m.k);
  const int64_t row_bytes = layout->RowBytes(m.k);
  m.bits == 4 || m.bits == 8 ? CopyCodes(m, row_bytes, rows->data()) : WidenCodes(m, row_bytes, rows->data());
  for (int64_t row = 0; row < m.n; ++row) {
    const CodedRow parts = RowParts(*layout, m.k, rows->data() + row * row_bytes);
    for (int64_t g = 0; g < m.groups; ++g) {
      parts.scale[g] = FloatAt(*m.scales, g * m.n + row);
      if (layout->zero_per_group) parts.zero[g] = static_cast<uint8_t>(ZeroAt(m, g, row));
    }
  }
  return MatrixOfRows(m.name + ".weight", m.n, m.k, std::move(layout), rows);
}

// K and the bits, which `dynamic` may have changed for this module: g_idx has K elements.
Status FindShape(const StoredTensors& tensors, const GptqConfig& config, GptqModule& m) {
  m.bits = static_cast<int>(config.bits);
  m.group_of = tensors.Find(m.name + ".g_idx");
  const int64_t word_rows = m.codes->shape[0];
  m.k = word_rows * 32 / m.bits;
  if (m.group_of != nullptr && m.group_of->shape.size() == 1 && config.mixed) {
    m.k = m.group_of->shape[0];
    for (const int bits : {2, 3, 4, 8}) {
      if (m.k * bits == word_rows * 32) m.bits = bits;
    }
  }
  if (m.k <= 0 || m.k * m.bits != word_rows * 32 || m.n * m.bits % 32 != 0 || m.n <= 0) {
    return InvalidArgument("tensor {}: {} words of {} columns do not hold whole rows of {}-bit codes", m.codes->name,
                           word_rows, m.n, m.bits);
  }
  return OkStatus();
}

StatusOr<QuantizedMatrix> Collect(const StoredTensors& tensors, const GptqConfig& config, const std::string& name) {
  GptqModule m;
  m.name = name;
  m.zeros_less_one = config.zeros_less_one;
  ASSIGN_OR_RETURN(m.codes, tensors.Get(name + ".qweight", {"I32", "U32"}, {-1, -1}));
  m.n = m.codes->shape[1];
  RETURN_IF_ERROR(FindShape(tensors, config, m));
  ASSIGN_OR_RETURN(m.scales, tensors.Get(name + ".scales", {"F16", "BF16", "F32"}, {-1, m.n}));
  m.groups = m.scales->shape[0];
  ASSIGN_OR_RETURN(m.zeros, tensors.Get(name + ".qzeros", {"I32", "U32"}, {m.groups, m.n * m.bits / 32}));
  if (m.group_of != nullptr) {
    ASSIGN_OR_RETURN(m.group_of, tensors.Get(name + ".g_idx", {"I32"}, {m.k}));
  }
  int64_t group_size = config.group_size == -1 ? m.k : config.group_size;
  if (config.mixed && m.groups > 0) group_size = (m.k + m.groups - 1) / m.groups;
  if (m.groups != (m.k + group_size - 1) / group_size) {
    return InvalidArgument("tensor {}: got {} groups, wanted {} for K = {} in groups of {}", m.scales->name, m.groups,
                           (m.k + group_size - 1) / group_size, m.k, group_size);
  }
  CodedLayout layout;
  layout.name = fmt::format("GPTQ-int{}-{}", m.bits,
                            config.group_size == -1 && m.groups == 1 ? "channel" : fmt::format("g{}", group_size));
  layout.code_bits = m.bits == 8 ? 8 : 4;
  layout.source_bits = m.bits;
  layout.group_size = group_size;
  layout.fp16_scales = m.scales->dtype == DType::kF16;
  layout.zero = 1 << (m.bits - 1);
  layout.zero_per_group = !config.symmetric;
  ASSIGN_OR_RETURN(layout.group_of, GroupsOf(m, group_size));
  if (!layout.group_of.empty()) layout.name += "-actorder";
  QuantizedMatrix matrix;
  matrix.name = name + ".weight";
  matrix.n = m.n;
  matrix.k = m.k;
  AccountParts({m.codes, m.zeros, m.scales, m.group_of}, layout, matrix);
  matrix.layout = std::make_shared<const CodedLayout>(layout);
  matrix.make = [m, described = matrix.layout] { return Make(m, *described); };
  return matrix;
}

}  // namespace

StatusOr<std::vector<QuantizedMatrix>> CollectGptq(const json& section, const StoredTensors& tensors) {
  StatusOr<GptqConfig> config = ParseConfig(section);
  if (!config.ok()) return Annotate(config.status(), "quantization_config");
  return CollectModules(tensors, "gptq", kSuffix,
                        [&](const std::string& module) { return Collect(tensors, *config, module); });
}

}  // namespace bitrate
