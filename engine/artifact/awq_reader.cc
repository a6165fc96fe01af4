// AWQ folders (AutoAWQ), 4 bits. Version "gemm": `qweight` [K, N / 8] and `qzeros` [G, N / 8] packed along N, nibble i
// of word c being column 8c + [0, 2, 4, 6, 1, 3, 5, 7][i]; `scales` [G, N]. Version "gemv": `qweight` [N, K / 8],
// `qzeros` and `scales` by row, in natural order and padded beyond G. w = scale * (code - zero). Source: reference
// quantization 2.2.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "engine/artifact/checked.h"
#include "engine/artifact/quantized_tensors.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

using nlohmann::json;

constexpr std::string_view kSuffix = ".qweight";

struct AwqConfig {
  int64_t group_size = 128;
  bool gemv = false;
};

struct AwqModule {
  std::string name;
  int64_t n = 0, k = 0;
  bool gemv = false;
  const StoredTensor *codes = nullptr, *zeros = nullptr, *scales = nullptr;
};

StatusOr<AwqConfig> ParseConfig(const json& section) {
  AwqConfig config;
  for (const char* key : {"bits", "w_bit"}) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> bits, FindInt(section, key));
    if (bits && *bits != 4) return FailedPrecondition("{}: got {}; AWQ files are read with 4 bits only", key, *bits);
  }
  for (const char* key : {"group_size", "q_group_size"}) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> size, FindInt(section, key));
    if (size) config.group_size = *size;
  }
  if (config.group_size != -1 && (config.group_size < 1 || config.group_size > limits::kMaxHidden)) {
    return InvalidArgument("group_size: got {}, wanted -1 or 1 to {}", config.group_size, limits::kMaxHidden);
  }
  ASSIGN_OR_RETURN(const std::optional<bool> zero_point, FindBool(section, "zero_point"));
  if (!zero_point.value_or(true)) return FailedPrecondition("zero_point: false is not supported for AWQ files");
  ASSIGN_OR_RETURN(const std::optional<std::string> given, FindString(section, "version"));
  std::string version = given.value_or("gemm");
  std::transform(version.begin(), version.end(), version.begin(), [](unsigned char c) { return std::tolower(c); });
  if (version != "gemm" && version != "gemv") {
    return FailedPrecondition("version: {} is not supported; want gemm or gemv", Printable(version));
  }
  config.gemv = version == "gemv";
  return config;
}

uint32_t Nibble(const StoredTensor& tensor, int64_t word, int index) {
  return ElementAt<uint32_t>(tensor.data, word) >> (4 * index) & 15;
}

uint32_t ZeroAt(const AwqModule& m, int64_t group, int64_t row) {
  if (m.gemv) return Nibble(*m.zeros, row * m.zeros->shape[1] + group / 8, static_cast<int>(group % 8));
  return Nibble(*m.zeros, group * (m.n / 8) + row / 8, kAwqNibbleOfColumn[static_cast<size_t>(row % 8)]);
}

float ScaleAt(const AwqModule& m, int64_t group, int64_t row) {
  return FloatAt(*m.scales, m.gemv ? row * m.scales->shape[1] + group : group * m.n + row);
}

// The codes of one k in words [begin, end): of eight rows each.
void FillTile(const AwqModule& m, int64_t i, int64_t begin, int64_t end, int64_t row_bytes, std::byte* rows) {
  for (int64_t c = begin; c < end; ++c) {
    const auto word = ElementAt<uint32_t>(m.codes->data, i * (m.n / 8) + c);
    for (int64_t j = 0; j < 8; ++j) {
      auto* codes = reinterpret_cast<uint8_t*>(rows + (8 * c + j) * row_bytes);
      const uint32_t code = word >> (4 * kAwqNibbleOfColumn[static_cast<size_t>(j)]) & 15;
      codes[i / 2] |= static_cast<uint8_t>(code << (i % 2 * 4));
    }
  }
}

void FillCodes(const AwqModule& m, int64_t row_bytes, std::byte* rows) {
  if (m.gemv) {  // eight codes of a row a word, as rows have them
    for (int64_t row = 0; row < m.n; ++row) {
      __builtin_memcpy(rows + row * row_bytes, m.codes->data.data() + row * (m.k / 2), static_cast<size_t>(m.k / 2));
    }
    return;
  }
  // A line of words of each k, so that the rows that are written stay in cache until theirs are full.
  constexpr int64_t kTile = 16;
  const int64_t words = m.n / 8;
  for (int64_t first = 0; first < words; first += kTile) {
    for (int64_t i = 0; i < m.k; ++i) FillTile(m, i, first, std::min(words, first + kTile), row_bytes, rows);
  }
}

StatusOr<WeightMatrix> Make(const AwqModule& m, std::shared_ptr<const CodedLayout> layout) {
  const auto rows = MakeCodedRows(*layout, m.n, m.k);
  const int64_t row_bytes = layout->RowBytes(m.k);
  FillCodes(m, row_bytes, rows->data());
  for (int64_t row = 0; row < m.n; ++row) {
    const CodedRow parts = RowParts(*layout, m.k, rows->data() + row * row_bytes);
    for (int64_t g = 0; g < layout->NumGroups(m.k); ++g) {
      parts.scale[g] = ScaleAt(m, g, row);
      parts.zero[g] = static_cast<uint8_t>(ZeroAt(m, g, row));
    }
  }
  return MatrixOfRows(m.name + ".weight", m.n, m.k, std::move(layout), rows);
}

// gemv pads each row's scales to whole words of zeros, whose number is a multiple of 1, 2 or 4 by group size.
int64_t GemvZeroWords(int64_t k, int64_t group_size) {
  const int64_t multiple = group_size >= 128 ? 1 : group_size == 64 ? 2 : 4;
  const int64_t words = (k / group_size + 7) / 8;
  return (words + multiple - 1) / multiple * multiple;
}

StatusOr<QuantizedMatrix> Collect(const StoredTensors& tensors, const AwqConfig& config, const std::string& name) {
  AwqModule m;
  m.name = name;
  m.gemv = config.gemv;
  ASSIGN_OR_RETURN(m.codes, tensors.Get(name + ".qweight", {"I32", "U32"}, {-1, -1}));
  m.n = m.gemv ? m.codes->shape[0] : 8 * m.codes->shape[1];
  m.k = m.gemv ? 8 * m.codes->shape[1] : m.codes->shape[0];
  if (m.n <= 0 || m.k <= 0) return InvalidArgument("tensor {}: an empty shape", m.codes->name);
  const int64_t group_size = config.group_size == -1 ? m.k : config.group_size;
  if (m.k % group_size != 0) {
    return InvalidArgument("tensor {}: K = {} is not whole groups of {}", m.codes->name, m.k, group_size);
  }
  const int64_t groups = m.k / group_size, zero_words = GemvZeroWords(m.k, group_size);
  const std::vector<int64_t> zeros_shape = {m.gemv ? m.n : groups, m.gemv ? zero_words : m.n / 8};
  const std::vector<int64_t> scales_shape = {m.gemv ? m.n : groups, m.gemv ? zero_words * 8 : m.n};
  ASSIGN_OR_RETURN(m.zeros, tensors.Get(name + ".qzeros", {"I32", "U32"}, zeros_shape));
  ASSIGN_OR_RETURN(m.scales, tensors.Get(name + ".scales", {"F16", "BF16", "F32"}, scales_shape));
  CodedLayout layout;
  layout.name = fmt::format("AWQ-int4-{}", config.group_size == -1 ? "channel" : fmt::format("g{}", group_size));
  layout.group_size = group_size;
  layout.fp16_scales = m.scales->dtype == DType::kF16;
  layout.zero_per_group = true;
  QuantizedMatrix matrix;
  matrix.name = name + ".weight";
  matrix.n = m.n;
  matrix.k = m.k;
  AccountParts({m.codes, m.zeros, m.scales}, layout, matrix);
  matrix.layout = std::make_shared<const CodedLayout>(layout);
  matrix.make = [m, described = matrix.layout] { return Make(m, described); };
  return matrix;
}

}  // namespace

StatusOr<std::vector<QuantizedMatrix>> CollectAwq(const json& section, const StoredTensors& tensors) {
  StatusOr<AwqConfig> config = ParseConfig(section);
  if (!config.ok()) return Annotate(config.status(), "quantization_config");
  return CollectModules(tensors, "awq", kSuffix,
                        [&](const std::string& module) { return Collect(tensors, *config, module); });
}

}  // namespace bitrate
