#include "engine/model/architecture.h"

#include <nlohmann/json.hpp>

#include "engine/base/json.h"

namespace bitrate {
namespace {

const Architecture* const kArchitectures[] = {&kLlamaArchitecture,    &kMistralArchitecture,    &kQwen2Architecture,
                                              &kQwen3Architecture,    &kGraniteArchitecture,    &kOlmo2Architecture,
                                              &kGemma2Architecture,   &kGemma3TextArchitecture, &kMixtralArchitecture,
                                              &kQwen3MoeArchitecture, &kPhi3Architecture};

std::string KnownNames() {
  std::string names;
  for (const Architecture* a : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += a->model_type;
  }
  return names;
}

const Architecture* FindByClass(std::string_view class_name) {
  for (const Architecture* a : kArchitectures) {
    if (a->class_name == class_name) return a;
  }
  return nullptr;
}

// architectures[0], or empty where the field is absent.
StatusOr<std::string> ClassName(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(const nlohmann::json* list, FindArray(config, "architectures"));
  if (list == nullptr || list->empty()) return std::string();
  const nlohmann::json& first = list->front();
  if (!first.is_string()) return InvalidArgument("architectures[0]: got {}, wanted a string", JsonToText(first));
  return first.get<std::string>();
}

StatusOr<const Architecture*> SelectArchitecture(const nlohmann::json& config) {
  ASSIGN_OR_RETURN(const std::string class_name, ClassName(config));
  ASSIGN_OR_RETURN(const std::optional<std::string> model_type, FindString(config, "model_type"));
  if (!model_type && class_name.empty()) {
    return InvalidArgument("model_type: missing (and no \"architectures\"), wanted one of: {}", KnownNames());
  }
  const Architecture* found = model_type ? FindArchitecture(*model_type) : FindByClass(class_name);
  if (found == nullptr) {
    return FailedPrecondition("{}: architecture \"{}\" is not supported, wanted one of: {}",
                              model_type ? "model_type" : "architectures", model_type ? *model_type : class_name,
                              KnownNames());
  }
  if (!class_name.empty() && class_name != found->class_name) {
    return FailedPrecondition("architectures: \"{}\" is not supported, wanted {}", class_name, found->class_name);
  }
  return found;
}

}  // namespace

const Architecture* FindArchitecture(std::string_view model_type) {
  for (const Architecture* a : kArchitectures) {
    if (a->model_type == model_type) return a;
  }
  return nullptr;
}

StatusOr<ModelConfig> ParseModelConfig(const nlohmann::json& config) {
  if (!config.is_object()) return InvalidArgument("model config: got {}, wanted a JSON object", config.type_name());
  StatusOr<const Architecture*> architecture = SelectArchitecture(config);
  if (!architecture.ok()) return Annotate(architecture.status(), "model config");
  StatusOr<ModelConfig> mapped = (*architecture)->map_config(config);
  if (!mapped.ok()) return Annotate(mapped.status(), "model config");
  mapped->architecture = std::string((*architecture)->model_type);
  return mapped;
}

}  // namespace bitrate
