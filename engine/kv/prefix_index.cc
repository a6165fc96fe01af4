#include "engine/kv/prefix_index.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/check.h"

namespace bitrate {
namespace {

// Multiply, then fold the high half: every input bit reaches every output bit in two rounds. Quality decides speed
// only.
uint64_t Mix(uint64_t a, uint64_t b) {
  const unsigned __int128 product =
      static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd6e8feb86659fd93ull);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t DefaultHash(uint64_t parent_hash, std::span<const int32_t> tokens) {
  uint64_t h = Mix(parent_hash, tokens.size());
  for (const int32_t token : tokens) h = Mix(h, static_cast<uint32_t>(token) + 1ull);
  return h;
}

uint64_t SeedHash(const std::string& seed) {
  uint64_t h = Mix(0, seed.size());
  for (const char c : seed) h = Mix(h, static_cast<unsigned char>(c) + 1ull);
  return h;
}

}  // namespace

std::string MakePrefixSeed(std::string_view variant, std::string_view adapter, std::string_view cache_salt,
                           std::string_view rope_set) {
  return fmt::format("{}:{}{}:{}{}:{}{}:{}", variant.size(), variant, adapter.size(), adapter, cache_salt.size(),
                     cache_salt, rope_set.size(), rope_set);
}

PrefixIndex::PrefixIndex(BlockAllocator* allocator, int block_tokens, PrefixHash hash)
    : allocator_(allocator),
      block_tokens_(block_tokens),
      hash_(hash != nullptr ? hash : DefaultHash),
      nodes_(allocator->num_blocks()) {
  BITRATE_CHECK(block_tokens > 0);
}

PrefixCursor PrefixIndex::Root(const std::string& seed) const {
  PrefixCursor cursor;
  cursor.seed = seed;
  cursor.hash = SeedHash(seed);
  return cursor;
}

bool PrefixIndex::Alive(const PrefixCursor& cursor) const {
  if (!cursor.valid) return false;
  if (cursor.block == kNoBlock) return true;
  const Node& node = nodes_[cursor.block];
  return node.in_use && node.generation == cursor.generation;
}

void PrefixIndex::Advance(BlockId block, PrefixCursor* cursor) const {
  cursor->block = block;
  cursor->generation = nodes_[block].generation;
  cursor->hash = nodes_[block].hash;
}

BlockId PrefixIndex::Find(const PrefixCursor& cursor, uint64_t seed_id, uint64_t hash,
                          std::span<const int32_t> tokens) const {
  const auto it = by_hash_.find(hash);
  if (it == by_hash_.end()) return kNoBlock;
  for (BlockId b = it->second; b != kEnd; b = nodes_[b].next_same_hash) {
    const Node& node = nodes_[b];
    if (node.parent != cursor.block) continue;
    if (node.parent == kNoBlock ? node.seed_id != seed_id : node.parent_generation != cursor.generation) continue;
    if (std::equal(tokens.begin(), tokens.end(), node.tokens.begin(), node.tokens.end())) return b;
  }
  return kNoBlock;
}

int PrefixIndex::Match(std::span<const int32_t> tokens, int max_blocks, PrefixCursor* cursor, BlockTable* table) {
  const auto seed = seeds_.find(cursor->seed);
  if (seed == seeds_.end()) return 0;
  int found = 0;
  while (found < max_blocks && static_cast<size_t>(found + 1) * block_tokens_ <= tokens.size()) {
    const auto chunk = tokens.subspan(static_cast<size_t>(found) * block_tokens_, block_tokens_);
    const BlockId block = Find(*cursor, seed->second.id, hash_(cursor->hash, chunk), chunk);
    if (block == kNoBlock) break;
    LruRemove(block);
    allocator_->Reference(block);
    table->push_back(block);
    Advance(block, cursor);
    ++found;
  }
  return found;
}

BlockId PrefixIndex::Insert(std::span<const int32_t> tokens, BlockId block, PrefixCursor* cursor) {
  BITRATE_CHECK(static_cast<int>(tokens.size()) == block_tokens_);
  if (!Alive(*cursor) || nodes_[block].in_use) {
    cursor->valid = false;
    return block;
  }
  const auto found_seed = seeds_.find(cursor->seed);
  const uint64_t seed_id = found_seed == seeds_.end() ? 0 : found_seed->second.id;
  const uint64_t hash = hash_(cursor->hash, tokens);
  if (const BlockId existing = Find(*cursor, seed_id, hash, tokens); existing != kNoBlock) {
    LruRemove(existing);
    allocator_->Reference(existing);
    Advance(existing, cursor);
    return existing;
  }
  Node& node = nodes_[block];
  if (cursor->block == kNoBlock) {
    Seed& seed = seeds_[cursor->seed];
    if (seed.id == 0) {
      seed.id = next_seed_id_++;
      seed_names_[seed.id] = cursor->seed;
    }
    ++seed.num_nodes;
    node.seed_id = seed.id;
  } else {
    node.seed_id = nodes_[cursor->block].seed_id;
    ++nodes_[cursor->block].num_children;
  }
  node.in_use = true;
  node.parent = cursor->block;
  node.parent_generation = cursor->generation;
  node.generation = next_generation_++;
  node.hash = hash;
  node.num_children = 0;
  node.tokens.assign(tokens.begin(), tokens.end());
  const auto [slot, fresh] = by_hash_.try_emplace(hash, block);
  node.next_same_hash = fresh ? kEnd : slot->second;
  slot->second = block;
  allocator_->SetRetained(block, true);
  ++num_nodes_;
  Advance(block, cursor);
  return block;
}

void PrefixIndex::OnIdle(BlockId block) {
  if (nodes_[block].in_use) LruPush(block);
}

bool PrefixIndex::EvictOne() {
  if (lru_first_ == kEnd) return false;
  // A leaf, by the order of release; Forget would take descendants along, so that none is left without its parent.
  Forget(lru_first_);
  return true;
}

void PrefixIndex::Forget(BlockId block) {
  if (!nodes_[block].in_use) return;
  if (nodes_[block].num_children == 0) return RemoveNode(block);
  // Rare (a NaN was computed), so descendants are found by one pass in order of age instead of being linked: a child is
  // always younger than its parent.
  std::vector<BlockId> younger;
  for (BlockId b = 0; b < static_cast<BlockId>(nodes_.size()); ++b) {
    if (nodes_[b].in_use && nodes_[b].generation > nodes_[block].generation) younger.push_back(b);
  }
  std::sort(younger.begin(), younger.end(),
            [&](BlockId a, BlockId b) { return nodes_[a].generation < nodes_[b].generation; });
  std::vector<uint8_t> doomed(nodes_.size(), 0);
  std::vector<BlockId> order = {block};
  doomed[block] = 1;
  for (const BlockId b : younger) {
    if (nodes_[b].parent == kNoBlock || !doomed[nodes_[b].parent]) continue;
    doomed[b] = 1;
    order.push_back(b);
  }
  for (auto it = order.rbegin(); it != order.rend(); ++it) RemoveNode(*it);
}

void PrefixIndex::LruPush(BlockId block) {
  Node& node = nodes_[block];
  node.in_lru = true;
  node.lru_previous = lru_last_;
  node.lru_next = kEnd;
  (lru_last_ == kEnd ? lru_first_ : nodes_[lru_last_].lru_next) = block;
  lru_last_ = block;
}

void PrefixIndex::LruRemove(BlockId block) {
  Node& node = nodes_[block];
  if (!node.in_lru) return;
  node.in_lru = false;
  (node.lru_previous == kEnd ? lru_first_ : nodes_[node.lru_previous].lru_next) = node.lru_next;
  (node.lru_next == kEnd ? lru_last_ : nodes_[node.lru_next].lru_previous) = node.lru_previous;
}

void PrefixIndex::RemoveNode(BlockId block) {
  Node& node = nodes_[block];
  LruRemove(block);
  const auto chain = by_hash_.find(node.hash);
  BlockId* link = &chain->second;
  while (*link != block) link = &nodes_[*link].next_same_hash;
  *link = node.next_same_hash;
  if (chain->second == kEnd) by_hash_.erase(chain);
  if (node.parent != kNoBlock) {
    --nodes_[node.parent].num_children;
  } else if (const auto name = seed_names_.find(node.seed_id); --seeds_[name->second].num_nodes == 0) {
    seeds_.erase(name->second);
    seed_names_.erase(name);
  }
  node.in_use = false;
  --num_nodes_;
  allocator_->SetRetained(block, false);
}

std::string PrefixIndex::CheckInvariants() const {
  std::vector<int> children(nodes_.size(), 0);
  int in_use = 0, in_lru = 0, roots = 0, counted_roots = 0;
  for (BlockId b = 0; b < static_cast<BlockId>(nodes_.size()); ++b) {
    const Node& node = nodes_[b];
    if (node.in_use != allocator_->retained(b)) return fmt::format("block {}: index and allocator disagree", b);
    if (!node.in_use) continue;
    ++in_use;
    if (node.in_lru != (allocator_->references(b) == 0)) return fmt::format("block {}: idle and eviction disagree", b);
    in_lru += node.in_lru;
    if (node.parent == kNoBlock) {
      ++roots;
      continue;
    }
    const Node& parent = nodes_[node.parent];
    if (!parent.in_use || parent.generation != node.parent_generation || parent.seed_id != node.seed_id) {
      return fmt::format("block {}: its parent {} is gone", b, node.parent);
    }
    if (allocator_->references(node.parent) < allocator_->references(b)) {
      return fmt::format("block {} has more holders than its parent {}", b, node.parent);
    }
    ++children[node.parent];
  }
  int listed = 0;
  for (BlockId b = lru_first_; b != kEnd; b = nodes_[b].lru_next, ++listed) {
    if (listed > in_lru) return "the eviction list is longer than its members";
  }
  for (const auto& [name, seed] : seeds_) counted_roots += seed.num_nodes;
  if (listed != in_lru || in_use != num_nodes_ || roots != counted_roots) return "prefix index: counts are off";
  for (size_t b = 0; b < nodes_.size(); ++b) {
    if (nodes_[b].in_use && children[b] != nodes_[b].num_children) return fmt::format("block {}: children off", b);
  }
  return "";
}

}  // namespace bitrate
