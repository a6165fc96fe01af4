#include "engine/backend/cpu/attention_plan.h"

#include "engine/base/check.h"

namespace bitrate {
namespace {

// Vectors that share each load of keys and values: enough to hide the loads, few enough for their scores and results to
// stay in the second-level cache.
constexpr int kTileVectors = 48;
constexpr int kPiecesPerWorker = 4;

// Every tile of the batch, longest first within a sequence: long work should not start last.
template <typename F>
void ForEachTile(const AttentionShape& shape, const AttentionSpec& spec, const KvBatch& batch, const F& f) {
  for (size_t b = 0; b + 1 < batch.query_start.size(); ++b) {
    const int first_row = batch.query_start[b];
    for (int end = batch.query_start[b + 1]; end > first_row; end -= shape.rows_per_tile) {
      AttentionTile tile;
      tile.sequence = static_cast<int32_t>(b);
      tile.row_begin = std::max(first_row, end - shape.rows_per_tile);
      tile.row_end = end;
      tile.chunk_begin = INT32_MAX;
      tile.chunk_end = 0;
      tile.partials = -1;
      for (int r = tile.row_begin; r < tile.row_end; ++r) {
        const int position = batch.positions[r];
        const int oldest = spec.window > 0 ? std::max(0, position - spec.window + 1) : 0;
        tile.chunk_begin = std::min(tile.chunk_begin, oldest / kKvChunkTokens);
        tile.chunk_end = std::max(tile.chunk_end, position / kKvChunkTokens + 1);
      }
      for (tile.kv_head = 0; tile.kv_head < spec.num_kv_heads; ++tile.kv_head) f(tile);
    }
  }
}

int64_t ChunksPerItem(const AttentionTile& tile, int64_t item_cost) {
  const int64_t rows = tile.row_end - tile.row_begin;
  return std::clamp<int64_t>((item_cost + rows - 1) / rows, 1, tile.num_chunks());
}

}  // namespace

AttentionShape MakeAttentionShape(const AttentionSpec& spec) {
  BITRATE_CHECK(spec.num_kv_heads > 0 && spec.num_heads % spec.num_kv_heads == 0);
  AttentionShape shape;
  shape.group = spec.num_heads / spec.num_kv_heads;
  shape.rows_per_tile = std::max(1, kTileVectors / shape.group);
  shape.max_vectors = shape.rows_per_tile * shape.group;
  shape.padded_dim = (spec.head_dim + kVecLanes - 1) / kVecLanes * kVecLanes;
  return shape;
}

AttentionSize MeasureAttention(const AttentionShape& shape, const AttentionSpec& spec, const KvBatch& batch,
                               int num_workers) {
  AttentionSize size;
  ForEachTile(shape, spec, batch, [&](const AttentionTile& tile) { size.total_cost += tile.cost(); });
  size.item_cost = num_workers == 1 ? size.total_cost : size.total_cost / (kPiecesPerWorker * num_workers) + 1;
  ForEachTile(shape, spec, batch, [&](const AttentionTile& tile) {
    const int64_t chunks = tile.num_chunks(), each = ChunksPerItem(tile, size.item_cost);
    ++size.num_tiles;
    size.num_items += (chunks + each - 1) / each;
    if (each < chunks) size.partial_floats += chunks * shape.PartialFloats(shape.Vectors(tile));
  });
  return size;
}

void PlanAttention(const AttentionShape& shape, const AttentionSpec& spec, const KvBatch& batch,
                   const AttentionSize& size, AttentionTile* tiles, AttentionItem* items) {
  int64_t num_tiles = 0, num_items = 0, partial_floats = 0;
  ForEachTile(shape, spec, batch, [&](AttentionTile tile) {
    const int64_t chunks = tile.num_chunks(), each = ChunksPerItem(tile, size.item_cost);
    if (each < chunks) {
      tile.partials = partial_floats;
      partial_floats += chunks * shape.PartialFloats(shape.Vectors(tile));
    }
    for (int64_t c = 0; c < chunks; c += each) {
      items[num_items++] = {static_cast<int32_t>(num_tiles), static_cast<int32_t>(tile.chunk_begin + c),
                            static_cast<int32_t>(tile.chunk_begin + std::min(c + each, chunks))};
    }
    tiles[num_tiles++] = tile;
  });
  BITRATE_CHECK(num_tiles == size.num_tiles && num_items == size.num_items && partial_floats == size.partial_floats);
}

}  // namespace bitrate
