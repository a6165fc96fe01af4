#include "engine/kv/block_pool.h"

#include <fmt/core.h>

#include <utility>

namespace bitrate {

BlockPool::BlockPool(std::unique_ptr<BlockAllocator> allocator, int block_tokens, PrefixHash hash)
    : allocator_(std::move(allocator)), block_tokens_(block_tokens), index_(allocator_.get(), block_tokens, hash) {}

bool BlockPool::Take(int64_t count, BlockTable* table) {
  if (count > num_available()) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (allocator_->num_free() == 0) index_.EvictOne();
    const BlockId block = allocator_->Allocate();
    // Only a broken allocator (the planted one) comes here: the invariant check reports it, the caller sees no block.
    if (block == kNoBlock) return false;
    table->push_back(block);
  }
  return true;
}

void BlockPool::Release(BlockTable* table) {
  while (!table->empty()) {
    const BlockId block = table->back();
    table->pop_back();
    if (allocator_->Unreference(block)) index_.OnIdle(block);
  }
}

int BlockPool::NumExclusive(const BlockTable& table) const {
  int count = 0;
  for (const BlockId block : table) count += allocator_->references(block) == 1;
  return count;
}

void BlockPool::Register(std::span<const int32_t> tokens, int index, PrefixCursor* cursor, BlockTable* table) {
  const BlockId own = (*table)[index];
  const BlockId kept = index_.Insert(tokens, own, cursor);
  if (kept == own) return;
  (*table)[index] = kept;
  if (allocator_->Unreference(own)) index_.OnIdle(own);
}

void BlockPool::Forget(const BlockTable& table) {
  for (const BlockId block : table) index_.Forget(block);
}

std::string BlockPool::CheckInvariants(const std::vector<const BlockTable*>& tables) const {
  std::vector<int> holders(allocator_->num_blocks(), 0);
  for (const BlockTable* table : tables) {
    for (const BlockId block : *table) {
      if (block < 0 || block >= allocator_->num_blocks()) return fmt::format("a table lists block {}", block);
      ++holders[block];
    }
  }
  std::string wrong = allocator_->CheckInvariants(holders);
  return wrong.empty() ? index_.CheckInvariants() : wrong;
}

}  // namespace bitrate
