#include "engine/kv/block_allocator.h"

#include <fmt/core.h>

#include "engine/base/check.h"

namespace bitrate {

BlockAllocator::BlockAllocator(int num_blocks) {
  BITRATE_CHECK(num_blocks >= 0);
  references_.assign(num_blocks, 0);
  retained_.assign(num_blocks, 0);
  free_.reserve(num_blocks);
  for (int b = num_blocks - 1; b >= 0; --b) free_.push_back(b);
}

BlockId BlockAllocator::Allocate() {
  if (free_.empty()) return kNoBlock;
  const BlockId block = free_.back();
  free_.pop_back();
  references_[block] = 1;
  return block;
}

void BlockAllocator::Reference(BlockId block) {
  BITRATE_CHECK(references_[block] > 0 || retained_[block]);
  if (references_[block]++ == 0) --num_cached_;
}

bool BlockAllocator::Unreference(BlockId block) {
  BITRATE_CHECK(references_[block] > 0);
  if (--references_[block] > 0) return false;
  if (retained_[block]) {
    ++num_cached_;
  } else {
    free_.push_back(block);
  }
  return true;
}

void BlockAllocator::SetRetained(BlockId block, bool retained) {
  if (retained == (retained_[block] != 0)) return;
  // A block without holder and without retention is free: there is nothing to retain.
  BITRATE_CHECK(references_[block] > 0 || !retained);
  retained_[block] = retained ? 1 : 0;
  if (references_[block] == 0) {
    --num_cached_;
    free_.push_back(block);
  }
}

std::string BlockAllocator::CheckInvariants(const std::vector<int>& holders) const {
  std::vector<uint8_t> is_free(references_.size(), 0);
  for (const BlockId block : free_) {
    if (block < 0 || block >= num_blocks()) return fmt::format("free list holds block {}", block);
    if (is_free[block]) return fmt::format("block {} is on the free list twice", block);
    is_free[block] = 1;
  }
  int cached = 0;
  for (int b = 0; b < num_blocks(); ++b) {
    if (references_[b] < 0) return fmt::format("block {} has {} holders", b, references_[b]);
    const bool idle = references_[b] == 0;
    if (is_free[b] && (!idle || retained_[b])) return fmt::format("block {} is free, yet held or retained", b);
    if (idle && !is_free[b] && !retained_[b]) return fmt::format("block {} is lost", b);
    cached += idle && retained_[b];
    if (!holders.empty() && holders[b] != references_[b]) {
      return fmt::format("block {} has {} references and {} holders", b, references_[b], holders[b]);
    }
  }
  if (cached != num_cached_) return fmt::format("{} cached blocks counted, {} found", num_cached_, cached);
  return "";
}

}  // namespace bitrate
