// The registry's own records, shared by its two source files only.
#ifndef BITRATE_SERVER_VARIANT_REGISTRY_INTERNAL_H_
#define BITRATE_SERVER_VARIANT_REGISTRY_INTERNAL_H_

#include "server/variant_registry.h"

namespace bitrate {

struct VariantRegistry::Slot {
  VariantSettings settings;
  VariantState state = VariantState::kUnloaded;
  Status error;
  std::shared_ptr<ServingVariant> serving;
  std::chrono::system_clock::time_point loaded_at{};
  std::shared_ptr<VariantCounter> counter = std::make_shared<VariantCounter>();
};

struct VariantRegistry::ModelEntry {
  ModelSettings settings;
  std::shared_ptr<const ModelResources> resources;
  Status open_error;
  std::vector<std::unique_ptr<Slot>> slots;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_VARIANT_REGISTRY_INTERNAL_H_
