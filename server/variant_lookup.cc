// The registry's questions (names, snapshots, what is ready) and its adapters.
#include <algorithm>

#include "server/api_error.h"
#include "server/variant_registry_internal.h"

namespace bitrate {

VariantRegistry::ModelEntry* VariantRegistry::FindModel(std::string_view name) {
  for (const auto& entry : models_) {
    if (entry->settings.name == name) return entry.get();
  }
  return nullptr;
}

const VariantRegistry::ModelEntry* VariantRegistry::FindModel(std::string_view name) const {
  for (const auto& entry : models_) {
    if (entry->settings.name == name) return entry.get();
  }
  return nullptr;
}

VariantRegistry::Slot* VariantRegistry::FindSlot(std::string_view model, std::string_view variant) {
  ModelEntry* entry = FindModel(model);
  if (entry == nullptr) return nullptr;
  for (const auto& slot : entry->slots) {
    if (slot->settings.name == variant) return slot.get();
  }
  return nullptr;
}

const VariantRegistry::Slot* VariantRegistry::FindSlot(std::string_view model, std::string_view variant) const {
  const ModelEntry* entry = FindModel(model);
  if (entry == nullptr) return nullptr;
  for (const auto& slot : entry->slots) {
    if (slot->settings.name == variant) return slot.get();
  }
  return nullptr;
}

VariantSnapshot VariantRegistry::Describe(const ModelEntry& model, const Slot& slot) const {
  VariantSnapshot snapshot;
  snapshot.model = model.settings.name;
  snapshot.settings = slot.settings;
  snapshot.state = slot.state;
  snapshot.error = slot.error;
  snapshot.serving = slot.serving;
  snapshot.digest = model.resources ? model.resources->digest : "";
  snapshot.loaded_at = slot.loaded_at;
  snapshot.counts = slot.counter->Get();
  return snapshot;
}

StatusOr<std::string> VariantRegistry::ResolveModel(std::string_view name) const {
  if (name.empty()) {
    if (!default_model_.empty()) return default_model_;
    return FieldError("model", "got nothing, wanted a name: the server has several models and no default");
  }
  MutexLock lock(&mutex_);
  if (FindModel(name) == nullptr) return UnknownModelError(name);
  return std::string(name);
}

std::shared_ptr<const ModelResources> VariantRegistry::Resources(std::string_view model) const {
  MutexLock lock(&mutex_);
  const ModelEntry* entry = FindModel(model);
  return entry == nullptr ? nullptr : entry->resources;
}

StatusOr<RoutableModel> VariantRegistry::Routable(std::string_view model) const {
  MutexLock lock(&mutex_);
  const ModelEntry* entry = FindModel(model);
  if (entry == nullptr) return UnknownModelError(model);
  RoutableModel routable{entry->settings.name, entry->settings.default_variant, {}};
  for (const auto& slot : entry->slots) routable.variants.push_back(slot->settings.name);
  return routable;
}

std::vector<RoutableModel> VariantRegistry::RoutableModels() const {
  std::vector<RoutableModel> models;
  for (const std::string& name : ModelNames()) {
    if (auto model = Routable(name); model.ok()) models.push_back(*std::move(model));
  }
  return models;
}

std::string VariantRegistry::ReferenceVariant(std::string_view model) const {
  MutexLock lock(&mutex_);
  const ModelEntry* entry = FindModel(model);
  return entry == nullptr ? "" : entry->settings.reference_variant;
}

bool VariantRegistry::IsReady(std::string_view model, std::string_view variant) const {
  return Acquire(model, variant) != nullptr;
}

std::shared_ptr<ServingVariant> VariantRegistry::Acquire(std::string_view model, std::string_view variant) const {
  std::shared_ptr<ServingVariant> serving;
  {
    MutexLock lock(&mutex_);
    const Slot* slot = FindSlot(model, variant);
    if (slot == nullptr || slot->state != VariantState::kReady) return nullptr;
    serving = slot->serving;
  }
  // An instance that failed a moment ago is seen here before the next Poll says so.
  if (serving != nullptr && serving->instance->state() != ModelInstance::State::kReady) return nullptr;
  return serving;
}

void VariantRegistry::LoadConfiguredAdapters() {
  std::vector<std::pair<std::string, AdapterSettings>> wanted;
  {
    MutexLock lock(&mutex_);
    for (const auto& entry : models_) {
      for (const AdapterSettings& adapter : entry->settings.adapters)
        wanted.emplace_back(entry->settings.name, adapter);
    }
  }
  for (const auto& [model, adapter] : wanted) {
    (void)control_->Post([this, model = model, adapter = adapter] {
      const auto resources = Resources(model);
      if (resources == nullptr) return adapters_.RememberError(model, adapter, VariantNotReadyError(model, ""));
      (void)adapters_.Load(*resources, adapter, /*keep_error=*/true);
    });
  }
}

void VariantRegistry::LoadAdapter(std::string_view model, AdapterSettings settings, AdapterFn done) {
  auto shared = std::make_shared<AdapterFn>(std::move(done));
  const bool posted = control_->Post([this, model = std::string(model), settings = std::move(settings), shared] {
    const auto resources = Resources(model);
    if (resources == nullptr) return (*shared)(VariantNotReadyError(model, ""));
    (*shared)(adapters_.Load(*resources, settings, /*keep_error=*/false));
  });
  if (!posted) (*shared)(BusyError("too many loads and unloads are waiting", "control"));
}

void VariantRegistry::UnloadAdapter(std::string_view model, std::string_view adapter, bool drain,
                                    Duration drain_timeout, AdapterFn done) {
  auto shared = std::make_shared<AdapterFn>(std::move(done));
  const bool posted =
      control_->Post([this, model = std::string(model), adapter = std::string(adapter), drain, drain_timeout, shared] {
        (*shared)(adapters_.Unload(model, adapter, drain, drain_timeout));
      });
  if (!posted) (*shared)(BusyError("too many loads and unloads are waiting", "control"));
}

bool VariantRegistry::AnyReady() const {
  for (const VariantSnapshot& variant : Snapshots()) {
    if (variant.state == VariantState::kReady) return true;
  }
  return false;
}

std::vector<std::string> VariantRegistry::ModelNames() const {
  MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& entry : models_) names.push_back(entry->settings.name);
  return names;
}

std::vector<VariantSnapshot> VariantRegistry::Snapshots(std::string_view model) const {
  MutexLock lock(&mutex_);
  std::vector<VariantSnapshot> snapshots;
  for (const auto& entry : models_) {
    if (!model.empty() && entry->settings.name != model) continue;
    for (const auto& slot : entry->slots) snapshots.push_back(Describe(*entry, *slot));
  }
  return snapshots;
}

StatusOr<VariantSnapshot> VariantRegistry::Snapshot(std::string_view model, std::string_view variant) const {
  MutexLock lock(&mutex_);
  const ModelEntry* entry = FindModel(model);
  if (entry == nullptr) return UnknownModelError(model);
  const Slot* slot = FindSlot(model, variant);
  if (slot == nullptr) return UnknownVariantError(model, variant);
  return Describe(*entry, *slot);
}

}  // namespace bitrate
