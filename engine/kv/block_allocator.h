// Which KV blocks are free, and how many holders each of the others has. Ids and counts only: no bytes, no tokens.
//
// A block is free (on the free list), used (one holder or more) or cached (no holder, but kept because the prefix index
// knows its content): free + used + cached == total, always.
// Thread rule: single-threaded, owned by the engine thread. Misuse (releasing a free block) is a programmer error.
#ifndef BITRATE_ENGINE_KV_BLOCK_ALLOCATOR_H_
#define BITRATE_ENGINE_KV_BLOCK_ALLOCATOR_H_

#include <cstdint>
#include <string>
#include <vector>

namespace bitrate {

using BlockId = int32_t;
inline constexpr BlockId kNoBlock = -1;

class BlockAllocator {
 public:
  explicit BlockAllocator(int num_blocks);
  // Virtual so that the simulation can plant a bug (an unreference that gets lost) and prove that it is noticed.
  virtual ~BlockAllocator() = default;

  // A block with one holder, or kNoBlock when no block is free (cached blocks are the prefix index's to give up).
  BlockId Allocate();

  // One holder more. A cached block becomes used.
  void Reference(BlockId block);

  // One holder less; true when it was the last. The block is then cached if it is retained and free otherwise.
  virtual bool Unreference(BlockId block);

  // Retained blocks keep their content when their last holder leaves. Dropping the retention of a cached block frees
  // it.
  void SetRetained(BlockId block, bool retained);

  int num_blocks() const { return static_cast<int>(references_.size()); }
  int num_free() const { return static_cast<int>(free_.size()); }
  int num_cached() const { return num_cached_; }
  int num_used() const { return num_blocks() - num_free() - num_cached_; }
  int references(BlockId block) const { return references_[block]; }
  bool retained(BlockId block) const { return retained_[block] != 0; }

  // Recounts everything. Empty when all is well, otherwise what is wrong. `holders[b]` = how many tables list block b;
  // empty = not compared.
  std::string CheckInvariants(const std::vector<int>& holders = {}) const;

 private:
  std::vector<int> references_;    // [num_blocks]
  std::vector<uint8_t> retained_;  // [num_blocks]
  std::vector<BlockId> free_;      // a stack: the block freed last is the warmest in the CPU's cache
  int num_cached_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_KV_BLOCK_ALLOCATOR_H_
