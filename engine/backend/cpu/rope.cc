#include "engine/backend/cpu/rope.h"

#include <algorithm>
#include <cstring>

#include "engine/backend/cpu/ops_rows.h"
#include "engine/base/check.h"
#include "engine/base/limits.h"

namespace bitrate {
namespace {

// One token's k and v of one head into its slot: k strided by tokens, v contiguous.
template <typename Element>
void StoreSlot(const Element* k, const Element* v, int head_dim, int block_tokens, std::byte* k_base, std::byte* v_base,
               int slot) {
  Element* k_out = reinterpret_cast<Element*>(k_base) + slot;
  for (int d = 0; d < head_dim; ++d) k_out[static_cast<int64_t>(d) * block_tokens] = k[d];
  std::memcpy(reinterpret_cast<Element*>(v_base) + static_cast<int64_t>(slot) * head_dim, v,
              head_dim * sizeof(Element));
}

// k, v [D] of one token and head into slot `slot` of `block`.
void StoreHead(const VecOps& ops, const KvGeometry& geometry, const float* k, const float* v, std::byte* block,
               int layer, int kv_head, int slot) {
  const int head_dim = geometry.head_dim;
  std::byte* k_base = block + geometry.KOffset(layer, kv_head);
  std::byte* v_base = block + geometry.VOffset(layer, kv_head);
  if (geometry.dtype == DType::kF32) {
    return StoreSlot(k, v, head_dim, geometry.block_tokens, k_base, v_base, slot);
  }
  if (geometry.dtype == DType::kI8) {
    int8_t k_codes[limits::kMaxHeadDim], v_codes[limits::kMaxHeadDim];
    reinterpret_cast<float*>(block + geometry.KScaleOffset(layer, kv_head))[slot] =
        ops.quantize_i8(k, head_dim, k_codes);
    reinterpret_cast<float*>(block + geometry.VScaleOffset(layer, kv_head))[slot] =
        ops.quantize_i8(v, head_dim, v_codes);
    return StoreSlot(k_codes, v_codes, head_dim, geometry.block_tokens, k_base, v_base, slot);
  }
  uint16_t k_half[limits::kMaxHeadDim], v_half[limits::kMaxHeadDim];
  const auto round = geometry.dtype == DType::kBF16 ? ops.to_bf16 : ops.to_fp16;
  round(k, head_dim, k_half);
  round(v, head_dim, v_half);
  StoreSlot(k_half, v_half, head_dim, geometry.block_tokens, k_base, v_base, slot);
}

}  // namespace

void CpuRopeAndStoreKv(const VecOps& ops, ExecContext& context, const AttentionSpec& spec, const RopeTable& rope,
                       int layer, const KvBatch& batch, float* qkv) {
  const KvGeometry& geometry = *batch.geometry;
  const int head_dim = spec.head_dim, half = rope.rotary_dim / 2;
  const int rotated_heads = spec.num_heads + spec.num_kv_heads;
  BITRATE_CHECK(head_dim == geometry.head_dim && spec.num_kv_heads == geometry.num_kv_heads);
  BITRATE_CHECK(head_dim <= limits::kMaxHeadDim && rope.rotary_dim <= head_dim && rope.rotary_dim % 2 == 0);
  BITRATE_CHECK(geometry.dtype == DType::kF32 || geometry.dtype == DType::kBF16 || geometry.dtype == DType::kF16 ||
                geometry.dtype == DType::kI8);
  const int64_t row_width = int64_t{head_dim} * (spec.num_heads + 2 * spec.num_kv_heads);
  const auto& starts = batch.query_start;
  ForRanges(context, static_cast<int64_t>(batch.positions.size()), row_width, [&](int64_t begin, int64_t end) {
    // The sequence of row `begin`: the last one that starts at or before it (empty ones start there too).
    int64_t sequence = std::upper_bound(starts.begin(), starts.end(), begin) - starts.begin() - 1;
    for (int64_t r = begin; r < end; ++r) {
      while (starts[sequence + 1] <= r) ++sequence;
      float* row = qkv + r * row_width;
      const int position = batch.positions[r];
      const int64_t turn = batch.rope_rows.empty() ? position : batch.rope_rows[r];
      BITRATE_CHECK((turn + 1) * half <= static_cast<int64_t>(rope.cos.size()));
      const float* cos = rope.cos.data() + turn * half;
      const float* sin = rope.sin.data() + turn * half;
      for (int h = 0; h < rotated_heads; ++h) ops.rope(row + int64_t{h} * head_dim, cos, sin, half);
      const int64_t block = batch.block_tables[sequence * batch.max_blocks + position / geometry.block_tokens];
      std::byte* base = batch.kv_base + block * static_cast<int64_t>(geometry.BlockBytes());
      const float* k = row + int64_t{spec.num_heads} * head_dim;
      const float* v = k + int64_t{spec.num_kv_heads} * head_dim;
      for (int h = 0; h < spec.num_kv_heads; ++h) {
        StoreHead(ops, geometry, k + int64_t{h} * head_dim, v + int64_t{h} * head_dim, base, layer, h,
                  position % geometry.block_tokens);
      }
    }
  });
}

}  // namespace bitrate
