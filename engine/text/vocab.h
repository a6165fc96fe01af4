// Token strings and their ids, both ways. Filled once at load, then read by any thread.
//
// Model tokens are what the model may write text with; extra tokens (added tokens outside the model's vocabulary, and
// the control tokens of a GGUF) have text and id but are not found by the model.
#ifndef BITRATE_ENGINE_TEXT_VOCAB_H_
#define BITRATE_ENGINE_TEXT_VOCAB_H_

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace bitrate::text {

class Vocab {
 public:
  // Ids must be below `max_size`, the bound that keeps one large id from allocating a table.
  explicit Vocab(int64_t max_size) : max_size_(max_size) {}
  Vocab(Vocab&&) = default;
  Vocab& operator=(Vocab&&) = default;

  // INVALID_ARGUMENT for an id out of range or taken, or text that is not UTF-8. The last of equal texts is found by
  // Find; all keep their id.
  Status Add(std::string_view text, int64_t id) { return Insert(text, id, &ids_); }
  Status AddExtra(std::string_view text, int64_t id) { return Insert(text, id, &extra_ids_); }

  int32_t size() const { return static_cast<int32_t>(by_id_.size()); }  // largest id + 1
  bool Has(int64_t id) const { return id >= 0 && id < size() && by_id_[static_cast<size_t>(id)] != nullptr; }
  // "" for an id without a token.
  std::string_view Text(int64_t id) const {
    return Has(id) ? std::string_view(*by_id_[static_cast<size_t>(id)]) : std::string_view();
  }
  // A model token; -1 where absent.
  int32_t Find(std::string_view text) const { return FindIn(ids_, text); }
  // Any token, extra ones first; -1 where absent.
  int32_t FindAny(std::string_view text) const {
    const int32_t extra = FindIn(extra_ids_, text);
    return extra >= 0 ? extra : Find(text);
  }
  // The id of "<0xHH>", extra or not; -1 where absent.
  int32_t FindByte(uint8_t byte) const;

 private:
  using Ids = absl::flat_hash_map<absl::string_view, int32_t>;
  Status Insert(std::string_view text, int64_t id, Ids* ids);
  static int32_t FindIn(const Ids& ids, std::string_view text) {
    const auto it = ids.find(ToAbsl(text));
    return it == ids.end() ? -1 : it->second;
  }

  int64_t max_size_;
  std::deque<std::string> storage_;  // never moves its strings
  std::vector<const std::string*> by_id_;
  Ids ids_;
  Ids extra_ids_;
};

// The byte that "<0xHH>" stands for; -1 for any other text.
int ParseByteToken(std::string_view text);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_VOCAB_H_
