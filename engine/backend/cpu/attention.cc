#include "engine/backend/cpu/attention.h"

#include <algorithm>

#include "engine/backend/cpu/attention_plan.h"
#include "engine/base/check.h"
#include "engine/base/work_counter.h"

namespace bitrate {
namespace {

// Up to this many vectors, converting 16-bit keys and values in registers at every use is cheaper than a copy in f32.
constexpr int kDirectVectors = 8;
// Rows x chunks, and floats to merge, below which waking the workers costs more than it saves (about a microsecond
// each).
constexpr int64_t kSharedCost = 4;
constexpr int64_t kSharedMergeFloats = 16384;

// Memory of one worker. What an item reads of it without having written it (lanes past the visible keys) is masked.
struct Workspace {
  const float** q;  // [max_vectors]
  int* first;       // [max_vectors]
  int* last;        // [max_vectors]
  float* scores;    // [max_vectors, 128]
  float* chunk;     // one chunk's results: acc [n, padded_dim], max [n], sum [n]
  float* state;     // the running results, laid out alike
  float* keys;      // [8, D, 16]: a chunk's keys in f32
  float* values;    // [128, D]
  float* scales;    // [2, 128]: the factors of the keys, then of the values
};

// Where the 16-key tiles of one chunk lie (AttendArgs).
struct KeyTiles {
  const void* k[kKvChunkTiles] = {};
  const void* v[kKvChunkTiles] = {};
  const float* k_scales[kKvChunkTiles] = {};  // i8 only, as v_scales
  const float* v_scales[kKvChunkTiles] = {};
  const void* next_k[kKvChunkTiles] = {};  // of the next chunk, to be fetched meanwhile
  int64_t k_stride = 0;
  bool in_cache = false;  // the paged cache, not the workspace
};

struct Plan {
  AttentionTile* tiles;
  AttentionItem* items;
  float* partials;
};

// Hands out 64-byte-aligned pieces of one block; with a null base it only measures.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <typename T>
  T* Take(int64_t count) {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

class AttentionCall {
 public:
  AttentionCall(const VecOps& ops, const AttentionSpec& spec, int layer, const KvBatch& batch, const float* qkv,
                float* out)
      : ops_(ops),
        spec_(spec),
        layer_(layer),
        batch_(batch),
        geometry_(*batch.geometry),
        qkv_(qkv),
        out_(out),
        shape_(MakeAttentionShape(spec)) {
    BITRATE_CHECK(spec.head_dim == geometry_.head_dim && spec.num_kv_heads == geometry_.num_kv_heads);
    attend_ = geometry_.dtype == DType::kF32    ? ops.attend_f32
              : geometry_.dtype == DType::kBF16 ? ops.attend_bf16
              : geometry_.dtype == DType::kF16  ? ops.attend_fp16
              : geometry_.dtype == DType::kI8   ? ops.attend_i8
                                                : nullptr;
    BITRATE_CHECK(attend_ != nullptr);
  }

  void Run(ExecContext& context);

 private:
  Workspace CarveWorkspace(Carver* carver) const;
  void RunItem(const AttentionItem& item, const Workspace& work) const;
  void RunChunk(const AttentionTile& tile, int chunk, bool another, const Workspace& work, float* results) const;
  void PointAtCache(const AttentionTile& tile, int chunk, KeyRange keys, bool another, KeyTiles* tiles) const;
  void CopyFromCache(const AttentionTile& tile, int chunk, KeyRange keys, const Workspace& work, KeyTiles* tiles) const;
  void ToFloats(const std::byte* from, int64_t n, float* to) const;
  void MergeTile(const AttentionTile& tile, float* state) const;
  void MergeInto(const AttentionTile& tile, int chunk, float* results, float* state) const;
  void FinishTile(const AttentionTile& tile, float* state) const;

  SoftmaxState StateOf(float* results, int vectors, int vector) const {
    float* tail = results + int64_t{vectors} * shape_.padded_dim;
    return {tail + vector, tail + vectors + vector, results + int64_t{vector} * shape_.padded_dim};
  }
  float* Partial(const AttentionTile& tile, int chunk) const {
    return partials_ + tile.partials + (chunk - tile.chunk_begin) * shape_.PartialFloats(shape_.Vectors(tile));
  }
  KeyRange Keys(int row, int chunk) const { return VisibleKeys(batch_.positions[row], spec_.window, chunk); }
  const std::byte* BlockOf(const AttentionTile& tile, int64_t token) const {
    const int64_t entry = int64_t{tile.sequence} * batch_.max_blocks + token / geometry_.block_tokens;
    return batch_.kv_base + batch_.block_tables[entry] * static_cast<int64_t>(geometry_.BlockBytes());
  }
  // The factor of `token` and, behind it, of those that follow in its block.
  const float* ScalesOf(const std::byte* block, int64_t token, size_t offset) const {
    return reinterpret_cast<const float*>(block + offset) + token % geometry_.block_tokens;
  }

  const VecOps& ops_;
  const AttentionSpec& spec_;
  const int layer_;
  const KvBatch& batch_;
  const KvGeometry& geometry_;
  const float* qkv_;
  float* out_;
  const AttentionShape shape_;
  void (*attend_)(const AttendArgs&) = nullptr;
  const AttentionTile* tiles_ = nullptr;
  float* partials_ = nullptr;
};

Plan CarvePlan(const AttentionSize& size, Carver* carver) {
  Plan plan;
  plan.tiles = carver->Take<AttentionTile>(size.num_tiles);
  plan.items = carver->Take<AttentionItem>(size.num_items);
  plan.partials = carver->Take<float>(size.partial_floats);
  return plan;
}

Workspace AttentionCall::CarveWorkspace(Carver* carver) const {
  const int64_t n = shape_.max_vectors, d = spec_.head_dim;
  Workspace work;
  work.q = carver->Take<const float*>(n);
  work.first = carver->Take<int>(n);
  work.last = carver->Take<int>(n);
  work.scores = carver->Take<float>(n * kKvChunkTokens);
  work.chunk = carver->Take<float>(shape_.PartialFloats(n));
  work.state = carver->Take<float>(shape_.PartialFloats(n));
  work.keys = carver->Take<float>(d * kKvChunkTokens);
  work.values = carver->Take<float>(d * kKvChunkTokens);
  work.scales = carver->Take<float>(2 * kKvChunkTokens);
  return work;
}

void AttentionCall::Run(ExecContext& context) {
  const int workers = context.parallel->num_workers();
  const AttentionSize size = MeasureAttention(shape_, spec_, batch_, workers);
  Carver measure(nullptr);
  CarveWorkspace(&measure);
  const size_t workspace_bytes = measure.used();
  CarvePlan(size, &measure);
  Carver carver(context.scratch->Reserve(measure.used() + workspace_bytes * (workers - 1)));
  const Plan plan = CarvePlan(size, &carver);
  std::byte* workspaces = carver.Take<std::byte>(static_cast<int64_t>(workspace_bytes) * workers);
  PlanAttention(shape_, spec_, batch_, size, plan.tiles, plan.items);
  tiles_ = plan.tiles;
  partials_ = plan.partials;

  WorkCounter next_item, next_tile;
  const auto workspace_of = [&](int worker) {
    Carver own(workspaces + workspace_bytes * worker);
    return CarveWorkspace(&own);
  };
  const auto run_items = [&](int worker) {
    const Workspace work = workspace_of(worker);
    for (int64_t i; (i = next_item.Next()) < size.num_items;) RunItem(plan.items[i], work);
  };
  const auto merge_tiles = [&](int worker) {
    const Workspace work = workspace_of(worker);
    for (int64_t t; (t = next_tile.Next()) < size.num_tiles;) {
      if (tiles_[t].partials >= 0) MergeTile(tiles_[t], work.state);
    }
  };
  if (workers > 1 && size.total_cost >= kSharedCost) {
    context.parallel->Run(run_items);
  } else {
    run_items(0);
  }
  if (size.partial_floats >= kSharedMergeFloats) {
    context.parallel->Run(merge_tiles);
  } else if (size.partial_floats > 0) {
    merge_tiles(0);
  }
}

void AttentionCall::RunItem(const AttentionItem& item, const Workspace& work) const {
  const AttentionTile& tile = tiles_[item.tile];
  const bool whole = tile.partials < 0;
  for (int chunk = item.chunk_begin; chunk < item.chunk_end; ++chunk) {
    float* results = whole ? work.chunk : Partial(tile, chunk);
    RunChunk(tile, chunk, chunk + 1 < item.chunk_end, work, results);
    if (whole) MergeInto(tile, chunk, results, work.state);
  }
  if (whole) FinishTile(tile, work.state);
}

// The results of all rows that see keys of the chunk; the others' are left as they are. another: the next chunk
// follows.
void AttentionCall::RunChunk(const AttentionTile& tile, int chunk, bool another, const Workspace& work,
                             float* results) const {
  const int group = shape_.group, vectors = shape_.Vectors(tile);
  const int64_t row_width = int64_t{spec_.head_dim} * (spec_.num_heads + 2 * spec_.num_kv_heads);
  const float* heads = qkv_ + int64_t{tile.kv_head} * group * spec_.head_dim;
  KeyRange all{kKvChunkTokens, 0};
  for (int row = tile.row_begin, v = 0; row < tile.row_end; ++row) {
    const KeyRange keys = Keys(row, chunk);
    if (keys.first < keys.last) all = {std::min(all.first, keys.first), std::max(all.last, keys.last)};
    for (int h = 0; h < group; ++h, ++v) {
      work.q[v] = heads + row * row_width + int64_t{h} * spec_.head_dim;
      work.first[v] = keys.first;
      work.last[v] = keys.last;
    }
  }
  KeyTiles tiles;
  const bool direct =
      geometry_.block_tokens % kVecLanes == 0 && (geometry_.dtype == DType::kF32 || vectors <= kDirectVectors);
  if (direct) {
    PointAtCache(tile, chunk, all, another, &tiles);
  } else {
    CopyFromCache(tile, chunk, all, work, &tiles);
  }
  AttendArgs args{};
  args.k_tiles = tiles.k;
  args.k_stride = tiles.k_stride;
  args.v_tiles = tiles.v;
  args.k_scales = geometry_.has_scales() ? tiles.k_scales : nullptr;
  args.v_scales = geometry_.has_scales() ? tiles.v_scales : nullptr;
  args.prefetch = tiles.in_cache;
  args.next_k_tiles = tiles.in_cache && another ? tiles.next_k : nullptr;
  args.head_dim = spec_.head_dim;
  args.scale = spec_.scale;
  args.softcap = spec_.softcap;
  args.acc_stride = shape_.padded_dim;
  for (int begin = 0; begin < vectors;) {  // runs of vectors that see something
    if (work.first[begin] >= work.last[begin]) {
      ++begin;
      continue;
    }
    int end = begin + 1;
    while (end < vectors && work.first[end] < work.last[end]) ++end;
    const SoftmaxState out = StateOf(results, vectors, begin);
    args.q = work.q + begin;
    args.n = end - begin;
    args.first = work.first + begin;
    args.last = work.last + begin;
    args.scores = work.scores + int64_t{begin} * kKvChunkTokens;
    args.max = out.max;
    args.sum = out.sum;
    args.acc = out.acc;
    (direct ? attend_ : ops_.attend_f32)(args);
    begin = end;
  }
}

void AttentionCall::PointAtCache(const AttentionTile& tile, int chunk, KeyRange keys, bool another,
                                 KeyTiles* tiles) const {
  const int64_t element_bytes = static_cast<int64_t>(DTypeBytes(geometry_.dtype));
  tiles->in_cache = true;
  tiles->k_stride = geometry_.block_tokens;
  const auto keys_at = [&](int64_t token) {
    return BlockOf(tile, token) + geometry_.KOffset(layer_, tile.kv_head) +
           token % geometry_.block_tokens * element_bytes;
  };
  for (int t = keys.first / kVecLanes; t * kVecLanes < keys.last; ++t) {
    const int64_t token = int64_t{chunk} * kKvChunkTokens + t * kVecLanes;
    tiles->k[t] = keys_at(token);
    tiles->v[t] = BlockOf(tile, token) + geometry_.VOffset(layer_, tile.kv_head) +
                  token % geometry_.block_tokens * spec_.head_dim * element_bytes;
    if (!geometry_.has_scales()) continue;
    tiles->k_scales[t] = ScalesOf(BlockOf(tile, token), token, geometry_.KScaleOffset(layer_, tile.kv_head));
    tiles->v_scales[t] = ScalesOf(BlockOf(tile, token), token, geometry_.VScaleOffset(layer_, tile.kv_head));
  }
  if (!another) return;
  const int64_t last_token = batch_.positions[tile.row_end - 1];
  for (int t = 0; t < kKvChunkTiles; ++t) {
    tiles->next_k[t] = keys_at(std::min(int64_t{chunk + 1} * kKvChunkTokens + t * kVecLanes, last_token));
  }
}

// The chunk's keys and values in f32 in the workspace (exact), so that many vectors convert them once. Also what serves
// block sizes that 16 does not divide.
void AttentionCall::CopyFromCache(const AttentionTile& tile, int chunk, KeyRange keys, const Workspace& work,
                                  KeyTiles* tiles) const {
  const int head_dim = spec_.head_dim, block_tokens = geometry_.block_tokens;
  const int64_t element_bytes = static_cast<int64_t>(DTypeBytes(geometry_.dtype));
  tiles->k_stride = kVecLanes;
  for (int t = keys.first / kVecLanes; t * kVecLanes < keys.last; ++t) {
    tiles->k[t] = work.keys + int64_t{t} * head_dim * kVecLanes;
    tiles->v[t] = work.values + int64_t{t} * head_dim * kVecLanes;
    tiles->k_scales[t] = work.scales + t * kVecLanes;
    tiles->v_scales[t] = work.scales + kKvChunkTokens + t * kVecLanes;
  }
  for (int key = keys.first; key < keys.last;) {  // runs inside one block and one tile
    const int64_t token = int64_t{chunk} * kKvChunkTokens + key;
    const int slot = static_cast<int>(token % block_tokens), lane = key % kVecLanes;
    const int run = std::min({keys.last - key, block_tokens - slot, kVecLanes - lane});
    const std::byte* block = BlockOf(tile, token);
    const std::byte* k = block + geometry_.KOffset(layer_, tile.kv_head) + slot * element_bytes;
    const std::byte* v = block + geometry_.VOffset(layer_, tile.kv_head) + slot * head_dim * element_bytes;
    float* k_out = work.keys + int64_t{key / kVecLanes} * head_dim * kVecLanes + lane;
    for (int d = 0; d < head_dim; ++d) ToFloats(k + d * block_tokens * element_bytes, run, k_out + d * kVecLanes);
    ToFloats(v, int64_t{run} * head_dim, work.values + int64_t{key} * head_dim);
    if (geometry_.has_scales()) {
      std::copy_n(ScalesOf(block, token, geometry_.KScaleOffset(layer_, tile.kv_head)), run, work.scales + key);
      std::copy_n(ScalesOf(block, token, geometry_.VScaleOffset(layer_, tile.kv_head)), run,
                  work.scales + kKvChunkTokens + key);
    }
    key += run;
  }
}

// n stored elements as f32, exactly; codes without their factors.
void AttentionCall::ToFloats(const std::byte* from, int64_t n, float* to) const {
  const auto* half = reinterpret_cast<const uint16_t*>(from);
  if (geometry_.dtype == DType::kF32) {
    std::copy_n(reinterpret_cast<const float*>(from), n, to);
  } else if (geometry_.dtype == DType::kI8) {
    ops_.from_i8(reinterpret_cast<const int8_t*>(from), n, to);
  } else {
    geometry_.dtype == DType::kBF16 ? ops_.from_bf16(half, n, to) : ops_.from_fp16(half, n, to);
  }
}

// The ordered merge of a tile whose chunks were computed by several workers.
void AttentionCall::MergeTile(const AttentionTile& tile, float* state) const {
  for (int chunk = tile.chunk_begin; chunk < tile.chunk_end; ++chunk) {
    MergeInto(tile, chunk, Partial(tile, chunk), state);
  }
  FinishTile(tile, state);
}

// A row's first visible chunk starts its state; chunks that it does not see leave it alone.
void AttentionCall::MergeInto(const AttentionTile& tile, int chunk, float* results, float* state) const {
  const int vectors = shape_.Vectors(tile);
  for (int row = tile.row_begin; row < tile.row_end; ++row) {
    const KeyRange keys = Keys(row, chunk);
    if (keys.first >= keys.last) continue;
    const KeyRange before = chunk > 0 ? Keys(row, chunk - 1) : KeyRange{0, 0};
    for (int h = 0; h < shape_.group; ++h) {
      const int vector = (row - tile.row_begin) * shape_.group + h;
      const SoftmaxState into = StateOf(state, vectors, vector), from = StateOf(results, vectors, vector);
      if (before.first < before.last) {
        ops_.merge(into, from, shape_.padded_dim);
      } else {
        *into.max = *from.max;
        *into.sum = *from.sum;
        std::copy_n(from.acc, shape_.padded_dim, into.acc);
      }
    }
  }
}

void AttentionCall::FinishTile(const AttentionTile& tile, float* state) const {
  const int vectors = shape_.Vectors(tile);
  const int64_t out_width = int64_t{spec_.num_heads} * spec_.head_dim;
  for (int v = 0; v < vectors; ++v) {
    const int64_t row = tile.row_begin + v / shape_.group;
    const int64_t head = int64_t{tile.kv_head} * shape_.group + v % shape_.group;
    ops_.finish(StateOf(state, vectors, v), spec_.head_dim, out_ + row * out_width + head * spec_.head_dim);
  }
}

}  // namespace

void CpuAttention(const VecOps& ops, ExecContext& context, const AttentionSpec& spec, int layer, const KvBatch& batch,
                  const float* qkv, float* out) {
  AttentionCall(ops, spec, layer, batch, qkv, out).Run(context);
}

}  // namespace bitrate
