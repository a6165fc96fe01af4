#include "engine/artifact/peft_adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "engine/artifact/checked.h"
#include "engine/artifact/hf_folder.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

constexpr std::string_view kConfigName = "adapter_config.json";
constexpr std::string_view kTensorsName = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";

struct Parts {
  const SafetensorsTensor* a = nullptr;
  const SafetensorsTensor* b = nullptr;
  const SafetensorsTensor* bias = nullptr;
};

// The module's name and which of its tensors this is.
StatusOr<const SafetensorsTensor**> Place(const SafetensorsTensor& tensor, std::map<std::string, Parts>* modules) {
  std::string_view name = tensor.name;
  if (!name.starts_with(kPrefix)) {
    return InvalidArgument("tensor {}: wanted a name that begins with {}", Printable(name), kPrefix);
  }
  name.remove_prefix(kPrefix.size());
  if (name.find("lora_magnitude_vector") != name.npos) {
    return FailedPrecondition("tensor {}: a magnitude of DoRA, which is not supported", Printable(tensor.name));
  }
  if (name.find("lora_embedding_") != name.npos) {
    return FailedPrecondition("tensor {}: an adapter of an embedding, which is not supported", Printable(tensor.name));
  }
  constexpr std::pair<std::string_view, const SafetensorsTensor * Parts::*> kSuffixes[] = {
      {".lora_A.weight", &Parts::a}, {".lora_B.weight", &Parts::b}, {".lora_B.bias", &Parts::bias}};
  for (const auto& [suffix, member] : kSuffixes) {
    if (!name.ends_with(suffix) || name.size() == suffix.size()) continue;
    return &((*modules)[std::string(name.substr(0, name.size() - suffix.size()))].*member);
  }
  return FailedPrecondition("tensor {}: not supported, wanted lora_A.weight, lora_B.weight or lora_B.bias of a module",
                            Printable(tensor.name));
}

Status WantShape(const SafetensorsTensor& tensor, std::initializer_list<int64_t> wanted, std::string_view what) {
  const bool same = std::equal(tensor.shape.begin(), tensor.shape.end(), wanted.begin(), wanted.end(),
                               [](int64_t got, int64_t want) { return want < 0 ? got > 0 : got == want; });
  if (same) return OkStatus();
  return InvalidArgument("tensor {}: got shape {}, wanted {}", Printable(tensor.name), ShapeText(tensor.shape), what);
}

StatusOr<std::vector<float>> ReadFinite(const SafetensorsFile& file, const SafetensorsTensor& tensor) {
  ASSIGN_OR_RETURN(std::vector<float> values, file.Floats(tensor.name));
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad == values.end()) return values;
  return InvalidArgument("tensor {}: element {} is {}, wanted finite numbers", Printable(tensor.name),
                         bad - values.begin(), *bad);
}

StatusOr<LoraModule> ReadModule(const PeftConfig& config, const std::string& name, const Parts& parts,
                                const SafetensorsFile& file) {
  if (parts.a == nullptr || parts.b == nullptr) {
    return InvalidArgument("module {}: lora_{}.weight is missing", Printable(name), parts.a == nullptr ? 'A' : 'B');
  }
  ASSIGN_OR_RETURN(const bool targeted, config.Targets(name));
  if (!targeted) {
    return InvalidArgument("module {}: the file has tensors for it, but {} does not target it", Printable(name),
                           kConfigName);
  }
  LoraModule module;
  module.name = name;
  ASSIGN_OR_RETURN(module.rank, config.RankOf(name));
  ASSIGN_OR_RETURN(module.scale, config.ScaleOf(name));
  if (!std::isfinite(module.scale)) return InvalidArgument("module {}: the scale is infinite", Printable(name));
  RETURN_IF_ERROR(WantShape(*parts.a, {module.rank, -1},
                            fmt::format("[{}, inputs] (the rank comes from {})", module.rank, kConfigName)));
  RETURN_IF_ERROR(WantShape(*parts.b, {-1, module.rank},
                            fmt::format("[outputs, {}] (the rank comes from {})", module.rank, kConfigName)));
  module.k = parts.a->shape[1];
  module.n = parts.b->shape[0];
  ASSIGN_OR_RETURN(module.a, ReadFinite(file, *parts.a));
  ASSIGN_OR_RETURN(module.b, ReadFinite(file, *parts.b));
  if ((parts.bias != nullptr) != config.has_bias()) {
    return InvalidArgument("module {}: lora_B.bias is {}, but lora_bias is {}", Printable(name),
                           parts.bias != nullptr ? "there" : "missing", config.has_bias());
  }
  if (parts.bias == nullptr) return module;
  RETURN_IF_ERROR(WantShape(*parts.bias, {module.n}, fmt::format("[{}], the outputs of lora_B", module.n)));
  ASSIGN_OR_RETURN(module.bias, ReadFinite(file, *parts.bias));
  return module;
}

StatusOr<std::vector<LoraModule>> ReadModules(const PeftConfig& config, const SafetensorsFile& file) {
  std::map<std::string, Parts> parts;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    ASSIGN_OR_RETURN(const SafetensorsTensor** place, Place(tensor, &parts));
    *place = &tensor;
  }
  if (parts.empty()) return InvalidArgument("no tensors, wanted lora_A and lora_B of at least one module");
  std::vector<LoraModule> modules;
  for (const auto& [name, tensors] : parts) {
    ASSIGN_OR_RETURN(LoraModule module, ReadModule(config, name, tensors, file));
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace

StatusOr<PeftAdapter> MakePeftAdapter(const std::string& path, std::string_view config_json,
                                      const SafetensorsFile& tensors) {
  StatusOr<PeftConfig> config = PeftConfig::Parse(config_json);
  if (!config.ok()) return Annotate(config.status(), fmt::format("{}/{}", path, kConfigName));
  StatusOr<std::vector<LoraModule>> modules = ReadModules(*config, tensors);
  if (!modules.ok()) return Annotate(modules.status(), fmt::format("{}/{}", path, kTensorsName));
  return PeftAdapter{path, *std::move(config), *std::move(modules)};
}

StatusOr<PeftAdapter> ReadPeftAdapter(const std::string& folder) {
  ASSIGN_OR_RETURN(const HfFolder files, HfFolder::Open(folder));
  ASSIGN_OR_RETURN(const std::string config, files.ReadOptional(kConfigName, limits::kMaxAdapterConfigBytes));
  if (config.empty()) return NotFound("{}: no {}, wanted a PEFT adapter", folder, kConfigName);
  if (!files.Has(kTensorsName) && files.Has("adapter_model.bin")) {
    return FailedPrecondition("{}/adapter_model.bin: pickled tensors are not read, wanted {}", folder, kTensorsName);
  }
  ASSIGN_OR_RETURN(const std::string path, files.Resolve(kTensorsName));
  ASSIGN_OR_RETURN(const auto tensors, SafetensorsFile::Open(path));
  return MakePeftAdapter(folder, config, *tensors);
}

}  // namespace bitrate
