#include "engine/model/weight_store.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace bitrate {
namespace {

// Odd constants with well-mixed bits: fractional parts of the golden ratio and of sqrt(2), sqrt(3), sqrt(5).
constexpr uint64_t kMul[4] = {0x9e3779b97f4a7c15ull, 0x6a09e667f3bcc909ull, 0xbb67ae8584caa73bull,
                              0x3c6ef372fe94f82bull};

uint64_t Load64(const std::byte* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

uint64_t Mix(uint64_t h) {  // SplitMix64's finalizer
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
  return h ^ (h >> 31);
}

}  // namespace

std::string Fingerprint(std::span<const std::byte> bytes) {
  // Four independent lanes of 8 bytes, so that the pass runs at memory speed.
  uint64_t lane[4] = {kMul[3], kMul[2], kMul[1], kMul[0]};
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 32; left -= 32, p += 32) {
    for (int i = 0; i < 4; ++i) lane[i] = Mix(lane[i] ^ Load64(p + 8 * i));
  }
  std::byte tail[32] = {};
  if (left > 0) std::memcpy(tail, p, left);
  for (int i = 0; i < 4; ++i) lane[i] = Mix(lane[i] ^ Load64(tail + 8 * i));
  uint64_t a = bytes.size(), b = ~a;
  for (const uint64_t l : lane) {
    a = Mix(a ^ l) * kMul[0];
    b = Mix(b + std::rotl(l, 17)) * kMul[1];
  }
  return fmt::format("{:016x}{:016x}", a, b);
}

std::string WeightKey(std::string_view checkpoint_digest, const LinearSpec& spec, const Backend& backend) {
  std::string key = fmt::format("{}|{}", checkpoint_digest, spec.is_head ? "head" : "linear");
  // A backend may tell matrices apart by their address; here their bytes do that, and an address could be reused.
  std::vector<WeightMatrix> parts(spec.parts.begin(), spec.parts.end());
  for (WeightMatrix& part : parts) {
    key += fmt::format("|{}:{}", part.name, Fingerprint(part.data));
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
