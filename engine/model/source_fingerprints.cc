#include "engine/model/source_fingerprints.h"

#include <fmt/core.h>

#include <memory>
#include <span>
#include <vector>

#include "engine/base/fingerprint.h"

namespace bitrate {
namespace {

constexpr size_t kDigits = 32;  // of a fingerprint

std::string KeyOf(const std::string& identity) { return "fingerprints/1|" + identity; }

// Lines of 32 hex digits, a space and the name. A name with a newline is left out: it is computed each time.
std::string Format(const std::map<std::string, std::string, std::less<>>& by_name) {
  std::string text;
  for (const auto& [name, fingerprint] : by_name) {
    if (name.find('\n') == std::string::npos) text += fingerprint + " " + name + "\n";
  }
  return text;
}

std::map<std::string, std::string, std::less<>> Parse(std::string_view text) {
  std::map<std::string, std::string, std::less<>> by_name;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.size() <= kDigits + 1 || line[kDigits] != ' ') continue;
    by_name.emplace(line.substr(kDigits + 1), line.substr(0, kDigits));
  }
  return by_name;
}

}  // namespace

std::string FingerprintOf(const WeightMatrix& matrix) {
  if (matrix.coded == nullptr) return Fingerprint(matrix.data);
  const CodedLayout& layout = *matrix.coded;
  const std::string text =
      fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", Fingerprint(matrix.data), layout.name, layout.code_bits, layout.group_size,
                  layout.zero, layout.zero_per_group, Fingerprint(std::as_bytes(std::span(layout.group_of))),
                  Fingerprint(std::as_bytes(std::span(layout.table))));
  return Fingerprint(std::as_bytes(std::span(text)));
}

std::optional<std::string> SourceFingerprints::Find(std::string_view name) const {
  MutexLock lock(&mutex_);
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return std::nullopt;
  return it->second;
}

std::string SourceFingerprints::Of(const WeightMatrix& matrix) {
  if (auto known = Find(matrix.name)) return *known;
  std::string fingerprint = FingerprintOf(matrix);
  MutexLock lock(&mutex_);
  changed_ = true;
  by_name_[matrix.name] = fingerprint;
  return fingerprint;
}

void SourceFingerprints::LoadFrom(TensorCache& cache, const std::string& identity, Parallel& parallel) {
  if (identity.empty()) return;
  const std::optional<TensorCache::Entry> entry = cache.Find(KeyOf(identity), parallel);
  if (!entry.has_value() || entry->sections.size() != 1) return;
  const std::span<const std::byte> bytes = entry->sections.front();
  auto stored = Parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  MutexLock lock(&mutex_);
  by_name_.merge(stored);
}

void SourceFingerprints::StoreIn(TensorCache& cache, const std::string& identity) {
  if (identity.empty()) return;
  auto text = std::make_shared<std::string>();
  {
    MutexLock lock(&mutex_);
    if (!changed_) return;
    changed_ = false;
    *text = Format(by_name_);
  }
  cache.Store(KeyOf(identity), {std::as_bytes(std::span(*text))}, text);
}

}  // namespace bitrate
