#include "engine/text/vocab.h"

#include <fmt/format.h>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/text/utf8.h"

namespace bitrate::text {

Status Vocab::Insert(std::string_view text, int64_t id, Ids* ids) {
  if (id < 0 || id >= max_size_ || id >= limits::kMaxVocab) {
    return InvalidArgument("token {}: id {} is out of range, want 0 to {}", JsonToText(std::string(text)), id,
                           std::min(max_size_, limits::kMaxVocab) - 1);
  }
  if (FirstInvalidUtf8(text) != std::string_view::npos) {
    return InvalidArgument("token {} (id {}) is not UTF-8", JsonToText(std::string(text)), id);
  }
  const auto index = static_cast<size_t>(id);
  if (index >= by_id_.size()) by_id_.resize(index + 1, nullptr);
  if (by_id_[index] != nullptr) {
    return InvalidArgument("id {} belongs to two tokens, {} and {}", id, JsonToText(*by_id_[index]),
                           JsonToText(std::string(text)));
  }
  storage_.emplace_back(text);
  by_id_[index] = &storage_.back();
  ids->insert_or_assign(ToAbsl(storage_.back()), static_cast<int32_t>(id));
  return OkStatus();
}

int32_t Vocab::FindByte(uint8_t byte) const { return FindAny(fmt::format("<0x{:02X}>", byte)); }

int ParseByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace bitrate::text
