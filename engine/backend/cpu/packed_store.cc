#include "engine/backend/cpu/packed_store.h"

#include <iterator>
#include <new>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fingerprint.h"

namespace bitrate::linear {
namespace {

bool HaveData(std::span<const WeightMatrix> parts) {
  for (const WeightMatrix& part : parts) {
    if (part.data.data() == nullptr) return false;
  }
  return true;
}

}  // namespace

std::string PackedKey(std::span<const WeightMatrix> parts, std::span<const std::string> fingerprints,
                      const Scheme& scheme) {
  BITRATE_CHECK(parts.size() == fingerprints.size());
  std::string key = fmt::format("packed/{}|layout {} group {} offset {} planes {} repack {} table {}|k {}",
                                kPackVersion, static_cast<int>(scheme.layout), scheme.group_size,
                                static_cast<int>(scheme.offset), scheme.f32_planes ? 32 : 16, scheme.repack,
                                Fingerprint(std::as_bytes(std::span(scheme.table))), parts.front().k);
  for (size_t i = 0; i < parts.size(); ++i) {
    fmt::format_to(std::back_inserter(key), "|{}:{}:{}", parts[i].format_name(), parts[i].n, fingerprints[i]);
  }
  return key;
}

std::shared_ptr<const PackedWeights> PackedStore::Find(const std::string& key, const Scheme& scheme, int64_t n,
                                                       int64_t k, Parallel& parallel) {
  const std::optional<TensorCache::Entry> entry = cache_->Find(key, parallel);
  PackedWeights::Planes planes;
  if (!entry.has_value() || entry->sections.size() != planes.size()) return nullptr;
  std::copy(entry->sections.begin(), entry->sections.end(), planes.begin());
  const auto mapped = PackedWeights::FromPlanes(scheme, n, k, planes, entry->owner, true);
  if (!mapped.has_value()) return nullptr;
  return std::make_shared<const PackedWeights>(copy_ ? mapped->Copy(parallel) : *mapped);
}

StatusOr<std::shared_ptr<const PackedWeights>> PackedStore::Get(std::span<const WeightMatrix> parts,
                                                                std::span<const std::string> fingerprints,
                                                                const Scheme& scheme, Parallel& parallel) {
  const bool cached = cache_ != nullptr && !fingerprints.empty();
  try {
    std::string key;
    if (cached) {
      key = PackedKey(parts, fingerprints, scheme);
      int64_t n = 0;
      for (const WeightMatrix& part : parts) n += part.n;
      if (auto found = Find(key, scheme, n, parts.front().k, parallel)) return found;
    }
    if (!HaveData(parts)) return NotFound("linear {}: not in the packed cache", parts.front().name);
    auto packed = std::make_shared<const PackedWeights>(PackedWeights::Pack(parts, scheme, parallel));
    if (cached) {
      const PackedWeights::Planes& planes = packed->stored_planes();
      cache_->Store(std::move(key), {planes.begin(), planes.end()}, packed);
    }
    return packed;
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("linear {}: no memory to pack it as {}", parts.front().name, scheme.Name());
  }
}

}  // namespace bitrate::linear
