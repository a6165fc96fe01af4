// The merge loop of byte-pair encoding, O(n log n) by a heap: always the pair of lowest rank, the leftmost of equals.
#ifndef BITRATE_ENGINE_TEXT_MERGE_LOOP_H_
#define BITRATE_ENGINE_TEXT_MERGE_LOOP_H_

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <bitset>
#include <string_view>

#include "engine/text/token_model.h"

namespace bitrate::text {

struct MergeResult {
  bool found = false;
  uint32_t rank = 0;
  int32_t id = -1;
};

// Appends an unmerged symbol.
inline void PushSymbol(int32_t id, size_t begin, size_t length, std::vector<MergeSymbol>* symbols) {
  const auto index = static_cast<int32_t>(symbols->size());
  if (index > 0) symbols->back().next = index;
  symbols->push_back({id, static_cast<uint32_t>(begin), static_cast<uint32_t>(length), index - 1, -1});
}

// `lookup(left, right)` says what two neighbouring symbols become. Afterwards the symbols of length > 0 are the result.
template <typename Lookup>
void MergeAll(ModelScratch* scratch, const Lookup& lookup) {
  std::vector<MergeSymbol>& symbols = scratch->symbols;
  std::vector<MergeCandidate>& heap = scratch->heap;
  const auto later = [](const MergeCandidate& a, const MergeCandidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  };
  heap.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    const MergeResult merge = lookup(symbols[i], symbols[i + 1]);
    if (merge.found) heap.push_back({merge.rank, static_cast<uint32_t>(i), merge.id});
  }
  std::make_heap(heap.begin(), heap.end(), later);
  const auto consider = [&](int32_t left) {
    const auto& symbol = symbols[static_cast<size_t>(left)];
    const MergeResult merge = lookup(symbol, symbols[static_cast<size_t>(symbol.next)]);
    if (!merge.found) return;
    heap.push_back({merge.rank, static_cast<uint32_t>(left), merge.id});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    const MergeCandidate top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    MergeSymbol& left = symbols[top.left];
    if (left.length == 0 || left.next < 0) continue;
    MergeSymbol& right = symbols[static_cast<size_t>(left.next)];
    // Either side may have changed since the candidate was found.
    const MergeResult merge = lookup(left, right);
    if (!merge.found || merge.id != top.id) continue;
    left.id = merge.id;
    left.length += right.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) {
      symbols[static_cast<size_t>(left.next)].prev = static_cast<int32_t>(top.left);
      consider(static_cast<int32_t>(top.left));
    }
    if (left.prev >= 0) consider(left.prev);
  }
}

// Where a text can be cut so that no merge crosses the cut: between two characters that stand side by side in no
// token of several characters. Vocabularies that see whole texts (no pre-tokenizer) are so cut into words, which bounds
// the heap and lets words be cached; the ids are the same.
class SafeCuts {
 public:
  void AddToken(std::string_view token);
  // The end of the stretch that begins at `pos` (< text.size()) of valid UTF-8.
  size_t Next(std::string_view text, size_t pos) const;

 private:
  bool Joins(char32_t a, char32_t b) const {
    if (a < 128 && b < 128) return ascii_[a * 128 + b];
    return pairs_.contains((uint64_t{a} << 32) | b);
  }
  std::bitset<128 * 128> ascii_;
  absl::flat_hash_set<uint64_t> pairs_;
};

// Calls fill(word, &scratch->ids) for a word not seen before in this call, and appends its ids.
template <typename Fill>
void EncodeCached(std::string_view word, ModelScratch* scratch, std::vector<int32_t>* out, const Fill& fill) {
  constexpr size_t kMaxCachedBytes = 48;  // long words rarely repeat
  constexpr size_t kMaxCachedWords = 1 << 16;
  if (word.size() > kMaxCachedBytes) {
    fill(word, out);
    return;
  }
  const auto it = scratch->cache.find(ToAbsl(word));
  if (it != scratch->cache.end()) {
    out->insert(out->end(), scratch->cached_ids.begin() + it->second.first,
                scratch->cached_ids.begin() + it->second.second);
    return;
  }
  const size_t before = out->size();
  fill(word, out);
  if (scratch->cache.size() >= kMaxCachedWords) {
    scratch->cache.clear();
    scratch->cached_ids.clear();
  }
  const auto begin = static_cast<uint32_t>(scratch->cached_ids.size());
  scratch->cached_ids.insert(scratch->cached_ids.end(), out->begin() + static_cast<ptrdiff_t>(before), out->end());
  scratch->cache.emplace(std::string(word), std::pair(begin, static_cast<uint32_t>(scratch->cached_ids.size())));
}

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_MERGE_LOOP_H_
