// How one attention call is divided. The plan decides who computes what, never in which order a row is reduced.
#ifndef BITRATE_ENGINE_BACKEND_CPU_ATTENTION_PLAN_H_
#define BITRATE_ENGINE_BACKEND_CPU_ATTENTION_PLAN_H_

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

// Keys first .. last-1 of chunk `chunk` (relative to its start) that the token at `position` sees; first >= last: none.
struct KeyRange {
  int first, last;
};
inline KeyRange VisibleKeys(int position, int window, int chunk) {
  const int64_t start = int64_t{chunk} * kKvChunkTokens;
  const int64_t oldest = window > 0 ? int64_t{position} - window + 1 : 0;
  return {static_cast<int>(std::clamp<int64_t>(oldest - start, 0, kKvChunkTokens)),
          static_cast<int>(std::clamp<int64_t>(position + int64_t{1} - start, 0, kKvChunkTokens))};
}

// Rows row_begin .. row_end-1 of one sequence, all query heads of one kv head, chunks chunk_begin .. chunk_end-1.
struct AttentionTile {
  int32_t sequence, kv_head;
  int32_t row_begin, row_end;
  int32_t chunk_begin, chunk_end;
  int64_t partials;  // float offset of its chunk results, -1 if one worker does the tile whole
  int64_t num_chunks() const { return chunk_end - chunk_begin; }
  int64_t cost() const { return (row_end - row_begin) * num_chunks(); }
};

struct AttentionItem {
  int32_t tile;
  int32_t chunk_begin, chunk_end;
};

// Sizes of one vector group's results: acc [n, padded_dim], max [n], sum [n], all f32.
struct AttentionShape {
  int group = 0;  // query heads of one kv head
  int rows_per_tile = 0;
  int max_vectors = 0;  // of a tile
  int padded_dim = 0;   // D rounded up to 16
  int Vectors(const AttentionTile& tile) const { return (tile.row_end - tile.row_begin) * group; }
  int64_t PartialFloats(int64_t vectors) const { return (vectors * (padded_dim + 2) + 15) / 16 * 16; }
};
AttentionShape MakeAttentionShape(const AttentionSpec& spec);

// What a plan needs, found without storing it.
struct AttentionSize {
  int64_t num_tiles = 0;
  int64_t num_items = 0;
  int64_t partial_floats = 0;
  int64_t total_cost = 0;  // rows x chunks, over all tiles
  int64_t item_cost = 0;   // a tile above it is cut into items of about this
};
AttentionSize MeasureAttention(const AttentionShape& shape, const AttentionSpec& spec, const KvBatch& batch,
                               int num_workers);

// Fills arrays of size.num_tiles and size.num_items.
void PlanAttention(const AttentionShape& shape, const AttentionSpec& spec, const KvBatch& batch,
                   const AttentionSize& size, AttentionTile* tiles, AttentionItem* items);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_ATTENTION_PLAN_H_
