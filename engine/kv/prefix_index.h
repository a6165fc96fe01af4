// Finds KV blocks that already hold the beginning of a prompt.
//
// A node is a full block of tokens under its parent node (or under a root, one for each seed). Nodes are found by a
// hash chained over parent and tokens, and then compared: same parent node and same tokens, so a hash collision costs
// time and never gives a wrong block. Seeds (variant, adapter, cache_salt, rotary factors) are compared as strings: no
// hit across salts.
//
// A block without holder stays cached until EvictOne gives it up, least recently used first. Whoever holds a node's
// block holds its parent's too, and blocks are released last block first, so the least recently used node never has
// children: eviction takes leaves only.
// Thread rule: single-threaded, engine thread.
#ifndef BITRATE_ENGINE_KV_PREFIX_INDEX_H_
#define BITRATE_ENGINE_KV_PREFIX_INDEX_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/kv/block_allocator.h"
#include "engine/kv/block_table.h"

namespace bitrate {

// Length-prefixed, so that ("ab", "c") and ("a", "bc") differ. `rope_set` tells apart what was computed with different
// rotary factors.
std::string MakePrefixSeed(std::string_view variant, std::string_view adapter, std::string_view cache_salt,
                           std::string_view rope_set = "");

// Where a sequence stands in the index: the node of its last registered block. Invalid once that node is gone.
struct PrefixCursor {
  std::string seed;
  BlockId block = kNoBlock;  // kNoBlock = at the root
  uint64_t generation = 0;   // of the node in `block`
  uint64_t hash = 0;         // of the chain so far
  bool valid = true;         // false: this sequence registers nothing any more
};

using PrefixHash = uint64_t (*)(uint64_t parent_hash, std::span<const int32_t> tokens);

class PrefixIndex {
 public:
  // `hash` null = the built-in one; a test passes a constant to force collisions.
  PrefixIndex(BlockAllocator* allocator, int block_tokens, PrefixHash hash = nullptr);

  PrefixCursor Root(const std::string& seed) const;

  // Blocks that hold the beginning of `tokens`, at most max_blocks. Appends them to `table` with a reference each and
  // moves `cursor` (at a root) behind them. Returns their number.
  int Match(std::span<const int32_t> tokens, int max_blocks, PrefixCursor* cursor, BlockTable* table);

  // Registers `block`, held by the caller and full of `tokens` [block_tokens], behind `cursor`. Where an equal node
  // exists, its block is returned with a reference added and the caller gives up its own (equal content, DESIGN promise
  // 2, is stored once); otherwise returns `block`.
  BlockId Insert(std::span<const int32_t> tokens, BlockId block, PrefixCursor* cursor);

  // Must follow each Unreference that returned true: a retained block goes to the end of the eviction order.
  void OnIdle(BlockId block);

  // Frees the least recently used cached block. False when there is none.
  bool EvictOne();

  // Forgets the node of `block` and everything below it (its content is not to be trusted). Held blocks stay held.
  void Forget(BlockId block);

  bool Contains(BlockId block) const { return nodes_[block].in_use; }
  int num_nodes() const { return num_nodes_; }
  std::string CheckInvariants() const;

 private:
  static constexpr BlockId kEnd = -1;
  // A block is at most one node, so nodes are an array over block ids.
  struct Node {
    bool in_use = false;
    bool in_lru = false;
    BlockId parent = kNoBlock;  // kNoBlock = child of the root of seed_id
    uint64_t parent_generation = 0;
    uint64_t generation = 0;
    uint64_t seed_id = 0;
    uint64_t hash = 0;
    BlockId next_same_hash = kEnd;
    BlockId lru_previous = kEnd, lru_next = kEnd;
    int num_children = 0;
    std::vector<int32_t> tokens;  // [block_tokens]; capacity is kept for reuse
  };
  struct Seed {
    uint64_t id = 0;
    int num_nodes = 0;  // children of the root
  };

  // The node behind `cursor` with these tokens, or kNoBlock. seed_id 0 = unknown seed.
  BlockId Find(const PrefixCursor& cursor, uint64_t seed_id, uint64_t hash, std::span<const int32_t> tokens) const;
  bool Alive(const PrefixCursor& cursor) const;
  void Advance(BlockId block, PrefixCursor* cursor) const;
  void LruPush(BlockId block);
  void LruRemove(BlockId block);
  void RemoveNode(BlockId block);

  BlockAllocator* const allocator_;
  const int block_tokens_;
  const PrefixHash hash_;
  std::vector<Node> nodes_;                               // [num_blocks]
  std::unordered_map<uint64_t, BlockId> by_hash_;         // first of a chain over next_same_hash
  std::unordered_map<std::string, Seed> seeds_;           // only those with nodes
  std::unordered_map<uint64_t, std::string> seed_names_;  // id -> key of seeds_
  uint64_t next_generation_ = 1;
  uint64_t next_seed_id_ = 1;
  BlockId lru_first_ = kEnd, lru_last_ = kEnd;
  int num_nodes_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_KV_PREFIX_INDEX_H_
