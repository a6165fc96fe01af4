// Quantized folders that are not what their format says: every stored tensor of every golden folder in turn missing, of
// another type, and of another shape; configs and index tensors out of range. All are refused by name, none is read
// past.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/artifact/quantized_tensors.h"
#include "engine/artifact/safetensors_file.h"

namespace bitrate {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kGolden = BITRATE_GOLDEN_DIR;
const char* const kCases[] = {
    "gptq_b2_g32",          "gptq_b3_g32",    "gptq_b4_desc_act", "gptq_b8",     "gptq_v2_b4_asym",
    "awq_gemm_g32",         "awq_gemm_g128",  "bnb_fp4",          "bnb_int8",    "bnb_nf4_double",
    "bnb_nf4_storage_bf16", "ct_fp8_dynamic", "ct_fp8_static",    "ct_mxfp4a16", "ct_nvfp4a16",
    "ct_w4a16_asym_g128",   "ct_w4a16_g_idx", "ct_w8a16_channel", "ct_w8a8"};

json ReadJson(const std::string& path) {
  std::ifstream in(path);
  return in ? json::parse(in) : json();
}

struct Folder {
  json config;
  std::map<std::string, StoredTensor> tensors;

  StatusOr<std::vector<QuantizedMatrix>> Collect() const {
    stored = StoredTensors();
    for (const auto& [name, tensor] : tensors) stored.Add(tensor);
    return CollectQuantized(config, stored);
  }
  mutable StoredTensors stored;  // a QuantizedMatrix points into it
};

Folder Load(const std::string& name) {
  const std::string path = kGolden + "/quant/" + name + "/model";
  Folder folder;
  folder.config = ReadJson(path + "/config.json").value("quantization_config", json());
  if (folder.config.is_null()) {
    folder.config = ReadJson(path + "/quantize_config.json");
    folder.config["quant_method"] = "gptq";
  }
  const auto file = *SafetensorsFile::Open(path + "/model.safetensors");
  for (const SafetensorsTensor& t : file->tensors()) {
    folder.tensors[t.name] = {t.name, t.dtype_name, t.dtype, t.shape, file->Bytes(t), file};
  }
  return folder;
}

// May be missing without harm: order, or what is not used.
bool IsOptional(const std::string& name) {
  for (const char* suffix : {".g_idx", ".weight_g_idx", ".weight_format", ".input_scale", ".weight_zero_point"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

const QuantizedMatrix* FindMatrix(const std::vector<QuantizedMatrix>& matrices, const std::string& name) {
  for (const QuantizedMatrix& matrix : matrices) {
    if (matrix.name == name) return &matrix;
  }
  return nullptr;
}

// Refused with the module's name, or its matrix is not there for a model to read.
void ExpectNoMatrix(const Folder& folder, const QuantizedMatrix& whole, const std::string& what) {
  SCOPED_TRACE(what);
  const std::string module = whole.name.substr(0, whole.name.rfind('.'));
  const auto matrices = folder.Collect();
  if (!matrices.ok()) {
    EXPECT_THAT(std::string(matrices.status().message()), HasSubstr(module));
    return;
  }
  const QuantizedMatrix* matrix = FindMatrix(*matrices, whole.name);
  if (matrix == nullptr) return;
  // Of another shape as a whole: whoever asks for it compares.
  if (matrix->n != whole.n || matrix->k != whole.k) return;
  const auto made = matrix->make();
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(std::string(made.status().message()), HasSubstr(module));
}

class QuantizedMalformed : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cases, QuantizedMalformed, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(QuantizedMalformed, APartThatIsMissingOrAnotherIsRefusedByName) {
  const Folder good = Load(GetParam());
  const auto matrices = good.Collect();
  ASSERT_TRUE(matrices.ok()) << matrices.status();
  ASSERT_EQ(matrices->size(), 14u);
  const QuantizedMatrix& whole = matrices->front();
  ASSERT_GE(whole.parts.size(), 2u);
  for (const std::string& part : whole.parts) {
    Folder bad = good;
    bad.tensors.erase(part);
    if (!IsOptional(part)) ExpectNoMatrix(bad, whole, part + " missing");

    const bool unused = part.ends_with(".input_scale");
    if (unused) continue;
    bad = good;
    bad.tensors[part].dtype_name = "C64";
    bad.tensors[part].dtype = std::nullopt;
    // The four bits of bitsandbytes are bytes, whatever they are viewed as; its state is text; a format is one byte.
    const bool any_type =
        GetParam()[0] == 'b' &&
        (part == whole.name || part.find(".quant_state.") != std::string::npos || part.ends_with(".weight_format"));
    if (!any_type || (part == whole.name && std::string(GetParam()) == "bnb_int8")) {
      ExpectNoMatrix(bad, whole, part + " of another type");
    }
  }
}

TEST_P(QuantizedMalformed, APartOfAnotherShapeIsRefusedByName) {
  const Folder good = Load(GetParam());
  const auto matrices = good.Collect();
  ASSERT_TRUE(matrices.ok()) << matrices.status();
  const QuantizedMatrix& whole = matrices->front();
  for (const std::string& part : whole.parts) {
    if (part.ends_with(".input_scale") || part.ends_with(".weight_format")) continue;
    const StoredTensor& tensor = good.tensors.at(part);
    for (size_t dim = 0; dim < tensor.shape.size(); ++dim) {
      if (tensor.shape[dim] < 2) continue;
      Folder bad = good;
      StoredTensor& changed = bad.tensors[part];
      changed.data = tensor.data.first(tensor.data.size() / static_cast<size_t>(tensor.shape[dim]) *
                                       static_cast<size_t>(tensor.shape[dim] - 1));
      --changed.shape[dim];
      ExpectNoMatrix(bad, whole, part + " shorter by one in dimension " + std::to_string(dim));
    }
    if (part == whole.name && std::string(GetParam()).starts_with("bnb_nf4")) continue;  // any view of the bytes
    if (part.find(".quant_state.") != std::string::npos) continue;
    Folder bad = good;
    bad.tensors[part].shape.push_back(1);
    bad.tensors[part].shape.push_back(1);
    if (!(part == whole.name && std::string(GetParam()) == "bnb_fp4")) {
      ExpectNoMatrix(bad, whole, part + " of more dimensions");
    }
  }
}

TEST(QuantizedMalformedTest, ConfigsOutOfRange) {
  const std::tuple<const char*, const char*, const char*> kConfigs[] = {
      {"gptq_b4_g32_asym", R"({"bits": 5})", "bits: got 5"},
      {"gptq_b4_g32_asym", R"({"bits": "4"})", "bits"},
      {"gptq_b4_g32_asym", R"({"bits": 8})", "qzeros"},
      {"gptq_b4_g32_asym", R"({"group_size": 0})", "group_size: got 0"},
      {"gptq_b4_g32_asym", R"({"group_size": -2})", "group_size: got -2"},
      {"gptq_b4_g32_asym", R"({"group_size": 64})", "groups"},
      {"gptq_b4_g32_asym", R"({"checkpoint_format": "marlin"})", "checkpoint_format: marlin"},
      {"gptq_b4_g32_asym", R"({"checkpoint_format": "gptq_p"})", "checkpoint_format: gptq_p"},
      {"gptq_b4_g32_asym", R"({"is_marlin_format": true})", "marlin"},
      {"awq_gemm_g32", R"({"bits": 3})", "4 bits only"},
      {"awq_gemm_g32", R"({"version": "gemv_fast"})", "version: gemv_fast"},
      {"awq_gemm_g32", R"({"version": "marlin"})", "version: marlin"},
      {"awq_gemm_g32", R"({"zero_point": false})", "zero_point"},
      {"awq_gemm_g32", R"({"group_size": 48})", "qzeros: got shape [6, 16], wanted [4, 16]"},
      {"awq_gemm_g32", R"({"version": "gemv"})", "wanted"},
      {"ct_w8a8", R"({"format": "marlin-24"})", "format: marlin-24"},
      {"ct_w8a8", R"({"config_groups": null})", "config_groups"},
      {"ct_w8a8", R"({"config_groups": {"g": {"weights": {"num_bits": 1}}}})", "config_groups.g: num_bits"},
      {"ct_w8a8", R"({"transform_config": {"R1": {}}})", "transform_config"},
      {"ct_w8a8", R"({"sparsity_config": {"format": "sparse-24-bitmask"}})", "sparsity_config"},
      {"ct_w8a8", R"({"kv_cache_scheme": {"num_bits": 8}})", "kv_cache_scheme"},
      {"ct_w4a16_g32", R"({"config_groups": {"group_0": {"weights": {"num_bits": 8, "group_size": 32}}}})", "8 bits"},
      {"ct_w4a16_g32", R"({"config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 64}}}})", "groups"},
      {"bnb_nf4", R"({"quant_method": "quip"})", "quant_method: quip"},
  };
  for (const auto& [name, patch, text] : kConfigs) {
    Folder folder = Load(name);
    folder.config.merge_patch(json::parse(patch));
    const auto matrices = folder.Collect();
    ASSERT_FALSE(matrices.ok()) << patch;
    EXPECT_THAT(std::string(matrices.status().message()), HasSubstr(text)) << patch;
  }
}

// The bytes of `name`, to be changed.
std::shared_ptr<std::vector<std::byte>> OwnBytes(Folder& folder, const std::string& name) {
  StoredTensor& tensor = folder.tensors.at(name);
  auto bytes = std::make_shared<std::vector<std::byte>>(tensor.data.begin(), tensor.data.end());
  tensor.data = *bytes;
  tensor.owner = bytes;
  return bytes;
}

TEST(QuantizedMalformedTest, GroupIndicesOutOfRange) {
  for (const auto& [name, part] : {std::pair("gptq_b4_desc_act", "model.layers.0.mlp.down_proj.g_idx"),
                                   std::pair("ct_w4a16_g_idx", "model.layers.0.mlp.down_proj.weight_g_idx")}) {
    for (const int32_t index : {-1, 6, 1 << 30, INT32_MIN}) {
      Folder folder = Load(name);
      const auto bytes = OwnBytes(folder, part);
      std::memcpy(bytes->data() + 4 * 17, &index, sizeof(index));
      const auto matrices = folder.Collect();
      ASSERT_FALSE(matrices.ok());
      EXPECT_THAT(std::string(matrices.status().message()),
                  HasSubstr(std::string(part) + ": element 17 is " + std::to_string(index)));
    }
  }
}

TEST(QuantizedMalformedTest, StatesOfBitsandbytes) {
  const std::string part = "model.layers.0.mlp.down_proj.weight.quant_state.bitsandbytes__nf4";
  for (const char* state :
       {"", "{", "[]", "{}", R"({"blocksize": 0, "shape": [128, 192]})", R"({"blocksize": 64, "shape": [128]})",
        R"({"blocksize": 64, "shape": [128, -192]})", R"({"blocksize": 64, "shape": [9223372036854775807, 192]})",
        R"({"blocksize": 64, "shape": [4294967296, 4294967296]})", R"({"blocksize": 64, "shape": [128, 191]})",
        R"({"blocksize": 32, "shape": [128, 192]})",
        R"({"blocksize": 64, "shape": [128, 192], "nested_blocksize": 256})",
        R"({"blocksize": 1e300, "shape": [128, 192]})"}) {
    Folder folder = Load("bnb_nf4");
    const auto bytes = OwnBytes(folder, part);
    bytes->resize(std::strlen(state));
    std::memcpy(bytes->data(), state, bytes->size());
    folder.tensors.at(part).data = *bytes;
    const auto matrices = folder.Collect();
    ASSERT_FALSE(matrices.ok()) << state;
    EXPECT_THAT(std::string(matrices.status().message()), HasSubstr("model.layers.0.mlp.down_proj")) << state;
  }
  Folder folder = Load("bnb_int8");
  const auto bytes = OwnBytes(folder, "model.layers.0.mlp.down_proj.weight_format");
  (*bytes)[0] = std::byte{1};
  EXPECT_THAT(std::string(folder.Collect().status().message()), HasSubstr("only format 0 (row)"));
}

}  // namespace
}  // namespace bitrate
