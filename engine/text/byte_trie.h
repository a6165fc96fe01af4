// A set of byte strings with values, asked for every member that is a prefix of a position. Immutable after Build;
// memory is proportional to the bytes of the keys.
#ifndef BITRATE_ENGINE_TEXT_BYTE_TRIE_H_
#define BITRATE_ENGINE_TEXT_BYTE_TRIE_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace bitrate::text {

class ByteTrie {
 public:
  ByteTrie() { root_.fill(kNone); }

  // Empty keys are ignored; of equal keys the last one stays. Values must be >= 0.
  static ByteTrie Build(std::vector<std::pair<std::string_view, int32_t>> keys);

  bool empty() const { return nodes_.empty(); }
  bool CanStart(char c) const { return root_[static_cast<unsigned char>(c)] != kNone; }

  // Calls fn(value, length) for each key that text[pos..] starts with, shortest first.
  template <typename Fn>
  void ForEachPrefix(std::string_view text, size_t pos, Fn&& fn) const {
    if (pos >= text.size()) return;
    uint32_t node = root_[static_cast<unsigned char>(text[pos])];
    for (size_t length = 1; node != kNone; ++length) {
      if (nodes_[node].value >= 0) fn(nodes_[node].value, length);
      if (pos + length >= text.size()) return;
      node = Child(nodes_[node], static_cast<uint8_t>(text[pos + length]));
    }
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Node {
    int32_t value = -1;
    uint32_t first_child = 0;  // children are consecutive nodes, sorted by label
    uint16_t num_children = 0;
    uint8_t label = 0;
  };

  uint32_t Child(const Node& node, uint8_t label) const;

  std::array<uint32_t, 256> root_;
  std::vector<Node> nodes_;
};

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_BYTE_TRIE_H_
