#include "server/adapter_table.h"

#include <algorithm>
#include <thread>

#include "engine/base/limits.h"
#include "engine/model/adapter.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

constexpr size_t kNamesInErrors = 16;

ErrorDetail DetailOf(std::string reason, std::string_view model, std::string_view name) {
  return {.reason = std::move(reason),
          .resource_type = "bitrate.v1.Adapter",
          .resource_name = fmt::format("{}+{}", model, name)};
}

}  // namespace

AdapterTable::Entry* AdapterTable::Find(std::string_view model, std::string_view name) {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& e) { return e.about.model == model && e.about.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

const AdapterTable::Entry* AdapterTable::Find(std::string_view model, std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& e) { return e.about.model == model && e.about.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

Status AdapterTable::UnknownError(std::string_view model, std::string_view name) const {
  std::string names;
  size_t count = 0;
  for (const Entry& entry : entries_) {
    if (entry.about.model != model || ++count > kNamesInErrors) continue;
    names += (names.empty() ? "" : ", ") + entry.about.name;
  }
  if (count > kNamesInErrors) names += fmt::format(" and {} more", count - kNamesInErrors);
  return WithDetail(
      NotFound("model \"{}\" has no adapter \"{}\", it has: {}", model, name, names.empty() ? "none" : names),
      DetailOf("ADAPTER_NOT_FOUND", model, name));
}

// Whoever else holds the adapter holds a copy of the table's pointer, and new copies are made under the lock only or
// from one that is there: a count of one, seen under the lock, stays one.
AdapterSnapshot AdapterTable::Describe(const Entry& entry) {
  AdapterSnapshot snapshot = entry.about;
  snapshot.in_use = entry.adapter.use_count() > 1;
  return snapshot;
}

StatusOr<AdapterSnapshot> AdapterTable::Load(const ModelResources& model, const AdapterSettings& settings,
                                             bool keep_error) {
  {
    MutexLock lock(&mutex_);
    const Entry* there = Find(model.name, settings.name);
    if (there != nullptr && there->adapter != nullptr) {
      return WithDetail(AlreadyExists("adapter \"{}\" of model \"{}\" is loaded", settings.name, model.name),
                        DetailOf("ADAPTER_LOADED", model.name, settings.name));
    }
    const auto count = static_cast<size_t>(std::count_if(
        entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.about.model == model.name; }));
    if (there == nullptr && count >= limits::kMaxAdapters) {
      return WithDetail(ResourceExhausted("model \"{}\" has {} adapters, which is the most", model.name, count),
                        {.reason = "TOO_MANY_ADAPTERS", .quota_subject = "adapters"});
    }
  }
  const auto loaded = loader_->LoadAdapter(model, settings.path);
  if (!loaded.ok()) {
    if (keep_error) RememberError(model.name, settings, loaded.status());
    return loaded.status();
  }
  Entry entry;
  entry.adapter = *loaded;
  entry.about = {model.name, settings.name, settings.path, OkStatus(), (*loaded)->id(), (*loaded)->bytes()};
  entry.about.max_rank = (*loaded)->max_rank();
  entry.about.num_modules = (*loaded)->num_modules();
  entry.about.loaded_at = std::chrono::system_clock::now();
  {
    MutexLock lock(&mutex_);
    Entry* there = Find(model.name, settings.name);
    if (there == nullptr) {
      entries_.push_back(entry);
    } else {
      *there = entry;
    }
  }
  telemetry_->OnAdapterLoaded(model.name, settings.name, entry.about.bytes);
  return entry.about;
}

void AdapterTable::RememberError(const std::string& model, const AdapterSettings& settings, const Status& error) {
  MutexLock lock(&mutex_);
  Entry* there = Find(model, settings.name);
  if (there == nullptr) there = &entries_.emplace_back();
  there->about = {model, settings.name, settings.path, error, ""};
}

StatusOr<AdapterSnapshot> AdapterTable::Unload(const std::string& model, const std::string& name, bool drain,
                                               Duration timeout) {
  Entry taken;
  {
    MutexLock lock(&mutex_);
    Entry* entry = Find(model, name);
    if (entry == nullptr) return UnknownError(model, name);
    if (!drain && entry->adapter.use_count() > 1) {
      return WithDetail(
          FailedPrecondition("adapter \"{}\" of model \"{}\" is in use by requests that run", name, model),
          {.reason = "ADAPTER_IN_USE",
           .precondition_type = "REQUESTS_RUNNING",
           .precondition_subject = model + "+" + name});
    }
    taken = std::move(*entry);
    entries_.erase(entries_.begin() + (entry - entries_.data()));
  }
  telemetry_->OnAdapterUnloaded(model, name);
  const TimePoint deadline = clock_->Now() + timeout;
  while (taken.adapter.use_count() > 1 && clock_->Now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Describe(taken);
}

StatusOr<std::shared_ptr<const Adapter>> AdapterTable::Acquire(std::string_view model, std::string_view name) const {
  MutexLock lock(&mutex_);
  const Entry* entry = Find(model, name);
  if (entry == nullptr) return UnknownError(model, name);
  if (entry->adapter != nullptr) return entry->adapter;
  return WithDetail(FailedPrecondition("adapter \"{}\" of model \"{}\" could not be loaded: {}", name, model,
                                       ToStd(entry->about.error.message())),
                    DetailOf("ADAPTER_FAILED", model, name));
}

std::vector<AdapterSnapshot> AdapterTable::List(std::string_view model) const {
  MutexLock lock(&mutex_);
  std::vector<AdapterSnapshot> list;
  for (const Entry& entry : entries_) {
    if (model.empty() || entry.about.model == model) list.push_back(Describe(entry));
  }
  return list;
}

}  // namespace bitrate
