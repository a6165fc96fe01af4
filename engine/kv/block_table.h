// The KV blocks of one sequence, in order: block i holds its positions i * block_tokens .. (i + 1) * block_tokens - 1.
// A value; holding a reference of each block is the business of BlockPool. Thread rule: engine thread.
#ifndef BITRATE_ENGINE_KV_BLOCK_TABLE_H_
#define BITRATE_ENGINE_KV_BLOCK_TABLE_H_

#include <cstdint>
#include <vector>

#include "engine/kv/block_allocator.h"

namespace bitrate {

using BlockTable = std::vector<BlockId>;

// Blocks that hold `num_tokens` tokens.
constexpr int64_t BlocksFor(int64_t num_tokens, int block_tokens) {
  return (num_tokens + block_tokens - 1) / block_tokens;
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_KV_BLOCK_TABLE_H_
