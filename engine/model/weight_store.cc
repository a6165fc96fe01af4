#include "engine/model/weight_store.h"

#include <vector>

#include "engine/model/source_fingerprints.h"

namespace bitrate {
std::string WeightKey(std::string_view checkpoint_digest, const LinearSpec& spec, const Backend& backend) {
  std::string key = fmt::format("{}|{}", checkpoint_digest, spec.is_head ? "head" : "linear");
  // A backend may tell matrices apart by their address; here their bytes do that, and an address could be reused.
  std::vector<WeightMatrix> parts(spec.parts.begin(), spec.parts.end());
  for (size_t i = 0; i < parts.size(); ++i) {
    WeightMatrix& part = parts[i];
    key += fmt::format("|{}:{}", part.name, spec.fingerprints.empty() ? FingerprintOf(part) : spec.fingerprints[i]);
    part.data = {static_cast<const std::byte*>(nullptr), size_t{0}};
    part.owner.reset();
  }
  key += fmt::format("|bias:{}", spec.bias.empty() ? "none" : Fingerprint(std::as_bytes(spec.bias)));
  LinearSpec layout = spec;
  layout.parts = parts;
  layout.bias = {};
  return key + "|" + backend.PreparedKey(layout);
}

std::shared_ptr<const LinearOp> WeightStore::Find(const std::string& key) {
  const auto it = ops_.find(key);
  return it == ops_.end() ? nullptr : it->second.lock();
}

StatusOr<WeightStore::Entry> WeightStore::GetOrPrepare(
    const std::string& key, absl::FunctionRef<StatusOr<std::shared_ptr<const LinearOp>>()> prepare) {
  {
    MutexLock lock(&mutex_);
    if (std::shared_ptr<const LinearOp> found = Find(key)) return Entry{std::move(found), true};
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const LinearOp> op, prepare());
  MutexLock lock(&mutex_);
  if (std::shared_ptr<const LinearOp> found = Find(key)) return Entry{std::move(found), true};
  std::erase_if(ops_, [](const auto& item) { return item.second.expired(); });
  ops_[key] = op;
  return Entry{std::move(op), false};
}

size_t WeightStore::num_live() const {
  MutexLock lock(&mutex_);
  size_t live = 0;
  for (const auto& [key, op] : ops_) live += op.expired() ? 0 : 1;
  return live;
}

}  // namespace bitrate
