// The allocator and the prefix index as one: takes blocks (evicting cached ones when none is free) and gives them back
// in the order that the index wants. Thread rule: single-threaded, engine thread.
#ifndef BITRATE_ENGINE_KV_BLOCK_POOL_H_
#define BITRATE_ENGINE_KV_BLOCK_POOL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/kv/block_allocator.h"
#include "engine/kv/block_table.h"
#include "engine/kv/prefix_index.h"

namespace bitrate {

class BlockPool {
 public:
  BlockPool(std::unique_ptr<BlockAllocator> allocator, int block_tokens, PrefixHash hash = nullptr);

  // Blocks that Take can give: free ones and cached ones.
  int num_available() const { return allocator_->num_free() + allocator_->num_cached(); }

  // Appends `count` blocks to `table`, all or none.
  bool Take(int64_t count, BlockTable* table);

  // Gives all blocks of `table` back, last first, and empties it.
  void Release(BlockTable* table);

  // Blocks of `table` that nobody else holds: what Release would make available.
  int NumExclusive(const BlockTable& table) const;

  // Registers table[index], full of `tokens`. The entry may be replaced by an equal block that was registered before.
  void Register(std::span<const int32_t> tokens, int index, PrefixCursor* cursor, BlockTable* table);

  // The content of a failed sequence is not to be trusted, and neither is what it was built on: no block of `table`
  // stays registered.
  void Forget(const BlockTable& table);

  int block_tokens() const { return block_tokens_; }
  const BlockAllocator& allocator() const { return *allocator_; }
  PrefixIndex& index() { return index_; }
  const PrefixIndex& index() const { return index_; }

  // `tables` = every table there is.
  std::string CheckInvariants(const std::vector<const BlockTable*>& tables) const;

 private:
  std::unique_ptr<BlockAllocator> allocator_;
  const int block_tokens_;
  PrefixIndex index_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_KV_BLOCK_POOL_H_
