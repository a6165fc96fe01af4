// What turns one piece of pre-tokenized text into ids. Immutable after load, shared by threads.
#ifndef BITRATE_ENGINE_TEXT_TOKEN_MODEL_H_
#define BITRATE_ENGINE_TEXT_TOKEN_MODEL_H_

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace bitrate::text {

// One candidate merge: symbols at `left` and its successor become `id`. Lower rank first, then further left.
struct MergeCandidate {
  uint32_t rank;
  uint32_t left;
  int32_t id;
};

// A stretch of a piece that is one token so far; a doubly linked list in a vector.
struct MergeSymbol {
  int32_t id;
  uint32_t begin;   // byte in the piece
  uint32_t length;  // 0: merged into its predecessor
  int32_t prev;
  int32_t next;
};

// Buffers of one Encode call, reused from piece to piece.
struct ModelScratch {
  std::vector<MergeSymbol> symbols;
  std::vector<MergeCandidate> heap;
  std::vector<int32_t> ids;
  // Ids of words already seen in this call: [begin, end) in cached_ids.
  absl::flat_hash_map<std::string, std::pair<uint32_t, uint32_t>> cache;
  std::vector<int32_t> cached_ids;
};

// hidden [vocab size] or shorter: true for special tokens, which text itself must never turn into; only the search for
// added tokens yields them.
using HiddenIds = std::vector<bool>;
inline bool IsHidden(const HiddenIds& hidden, int32_t id) {
  return id >= 0 && static_cast<size_t>(id) < hidden.size() && hidden[static_cast<size_t>(id)];
}

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `piece` (valid UTF-8). INVALID_ARGUMENT where the vocabulary cannot write it.
  virtual Status Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const = 0;
};

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_TOKEN_MODEL_H_
