#include "engine/text/byte_trie.h"

#include <algorithm>

namespace bitrate::text {

ByteTrie ByteTrie::Build(std::vector<std::pair<std::string_view, int32_t>> keys) {
  ByteTrie trie;
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // Breadth first: each pending item is a node together with the sorted keys that pass through it.
  struct Pending {
    uint32_t node;  // kNone for the root
    size_t begin, end, depth;
  };
  std::vector<Pending> queue{{kNone, 0, keys.size(), 0}};
  for (size_t head = 0; head < queue.size(); ++head) {
    const Pending item = queue[head];
    const auto first_child = static_cast<uint32_t>(trie.nodes_.size());
    size_t i = item.begin;
    while (i < item.end && keys[i].first.size() == item.depth) {
      if (item.node != kNone) trie.nodes_[item.node].value = keys[i].second;
      ++i;
    }
    while (i < item.end) {
      const char label = keys[i].first[item.depth];
      size_t j = i;
      while (j < item.end && keys[j].first[item.depth] == label) ++j;
      const auto child = static_cast<uint32_t>(trie.nodes_.size());
      trie.nodes_.push_back(Node{-1, 0, 0, static_cast<uint8_t>(label)});
      if (item.node == kNone) trie.root_[static_cast<uint8_t>(label)] = child;
      queue.push_back({child, i, j, item.depth + 1});
      i = j;
    }
    if (item.node != kNone) {
      trie.nodes_[item.node].first_child = first_child;
      trie.nodes_[item.node].num_children = static_cast<uint16_t>(trie.nodes_.size() - first_child);
    }
  }
  return trie;
}

uint32_t ByteTrie::Child(const Node& node, uint8_t label) const {
  const auto begin = nodes_.begin() + node.first_child;
  const auto end = begin + node.num_children;
  const auto it = std::lower_bound(begin, end, label, [](const Node& n, uint8_t l) { return n.label < l; });
  return it != end && it->label == label ? static_cast<uint32_t>(it - nodes_.begin()) : kNone;
}

}  // namespace bitrate::text
