// The device-independent face of a compute backend: whole operators on flat batches. engine/model is written against
// this header only; the CPU backend is engine/backend/cpu, the CUDA backend comes beside it.
//
// All activations between operators are f32 in device memory (host memory for the CPU backend), row-major, one row a
// token. An operator's result for a row depends on that row (and the KV it attends to) only: never on M, on the other
// rows, or on the number of workers, to the bit (DESIGN promise 2 and section 6 for the reduction order).
//
// Thread rule: Backend and prepared operators are immutable and shared; an ExecContext belongs to one engine thread.
// Shape errors are programmer errors (BITRATE_CHECK). Prepare* return Status.
#ifndef BITRATE_ENGINE_BACKEND_BACKEND_H_
#define BITRATE_ENGINE_BACKEND_BACKEND_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/dtype.h"
#include "engine/base/parallel.h"
#include "engine/base/status.h"
#include "engine/format/precision.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

class TensorCache;  // engine/artifact/tensor_cache.h

// Scratch memory of one engine thread. Reserve returns 64-byte-aligned bytes, valid until the next Reserve; it grows
// on first use of a size and is allocation-free afterwards. An operator calls Reserve at most once a Run.
class ScratchArena {
 public:
  std::byte* Reserve(size_t bytes) {
    if (bytes > buffer_.size()) buffer_ = AlignedBuffer<std::byte>(bytes + bytes / 4);
    return buffer_.data();
  }
  size_t bytes() const { return buffer_.size(); }

 private:
  AlignedBuffer<std::byte> buffer_;
};

struct ExecContext {
  Parallel* parallel = nullptr;
  ScratchArena* scratch = nullptr;
};

// What will run and why (metrics `bitrate_variant_info`, `inspect`, GetVariant).
struct LinearInfo {
  std::string kernel;                 // "int4-g64-w4a8/avx2", chosen for decode
  std::string prefill_kernel;         // the same, or e.g. "onednn-bf16/avx512"
  std::string isa;                    // "avx2"
  double weight_bits = 0;             // per weight, scales included
  uint64_t bytes = 0;                 // resident
  uint64_t mapped_bytes = 0;          // of them pages of a mapped file, which processes may share
  std::vector<std::string> refusals;  // "onednn: explicit 64-row tag is ref:any on this CPU"
};

// A run of packed weights as a Run walks it: num_parts parts of equal size, part p by worker w of W where
// num_parts * w / W <= p < num_parts * (w + 1) / W. Lives as long as its operator.
struct PackedPlane {
  std::span<const std::byte> bytes;
  int64_t num_parts = 1;
};

// A weight prepared for one device: packed once, read-only.
class LinearOp {
 public:
  virtual ~LinearOp() = default;
  virtual int64_t n() const = 0;
  virtual int64_t k() const = 0;
  // y [M, N] f32 (row stride ldy) = x [M, K] f32 (row stride ldx) * W^T + bias. M >= 1; y must not overlap x.
  virtual void Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const = 0;
  // out [ids.size(), K] f32: the dequantized rows `ids` (an embedding lookup that reads the same rounded values).
  // Every id is in [0, n()).
  virtual void GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const = 0;
  virtual LinearInfo info() const = 0;
  // The packed weights in the order that a Run of one row reads them (bias left out), for tools that measure what a
  // plain read of the same bytes takes. Empty where host memory does not hold them.
  virtual std::vector<PackedPlane> PackedPlanes() const { return {}; }
};

struct LinearSpec {
  std::span<const WeightMatrix> parts;  // stacked along N in this order (q|k|v, gate|up); all the same K
  std::span<const float> bias;          // [N] over all parts, or empty
  Precision precision;
  bool is_head = false;  // lm_head / embedding: f32, bf16, fp16 in those variants, int8 per row otherwise
                         // (a Q8_0 head keeps its own grid of 32)
  // [parts] of their bytes, or empty. With them the backend may take the packed form from its cache, and parts may come
  // without data: NOT_FOUND then says that it is not there.
  std::span<const std::string> fingerprints = {};
};

// A low-rank change of a linear operator (LoRA), prepared for one device: y += scale * (B (A x) + bias) for each part.
// Parts share x; each writes its own columns of y. Immutable.
class LowRankOp {
 public:
  virtual ~LowRankOp() = default;
  virtual int64_t k() const = 0;
  virtual int64_t n() const = 0;  // columns of y up to the last one that is written
  virtual uint64_t bytes() const = 0;
};

struct LowRankPart {
  std::span<const float> a;     // [rank, K]
  std::span<const float> b;     // [N, rank]
  std::span<const float> bias;  // [N], or empty
  int64_t rank = 0;
  int64_t n = 0;
  int64_t column = 0;  // of y, where its N outputs begin
  float scale = 0;
};

// The rows of a batch that one operator applies to.
struct LowRankRows {
  const LowRankOp* op = nullptr;
  std::span<const int32_t> rows;
};

// GELU in its tanh form, as "gelu_pytorch_tanh".
enum class Activation : uint8_t { kSilu, kGeluTanh };

// Geometry of the paged KV cache. A block holds block_tokens tokens of one sequence for all layers.
// Within a block, layer by layer and KV head by KV head: K as [D, block_tokens], then V as [block_tokens, D], elements
// of `dtype` (f32, bf16, fp16, or i8). K has tokens innermost so that a dot product needs no horizontal add.
// i8: codes -127 .. 127; behind them K's scales [block_tokens] f32, then V's: a value is code * scale, scale = max|x| /
// 127 over the D dims of one token and head, written once with its token (DESIGN section 6).
struct KvGeometry {
  DType dtype = DType::kF32;
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_tokens = 16;

  size_t ElementBytes() const {  // K and V of one head, one layer, one block, without scales
    const size_t bytes = size_t{2} * head_dim * block_tokens * DTypeBytes(dtype);
    return has_scales() ? (bytes + 3) / 4 * 4 : bytes;
  }
  bool has_scales() const { return dtype == DType::kI8; }
  size_t HeadBytes() const { return ElementBytes() + (has_scales() ? size_t{2} * block_tokens * sizeof(float) : 0); }
  size_t BlockBytes() const { return HeadBytes() * num_kv_heads * num_layers; }
  size_t KOffset(int layer, int kv_head) const { return HeadBytes() * (size_t{0} + layer * num_kv_heads + kv_head); }
  size_t VOffset(int layer, int kv_head) const {
    return KOffset(layer, kv_head) + size_t{1} * head_dim * block_tokens * DTypeBytes(dtype);
  }
  size_t KScaleOffset(int layer, int kv_head) const { return KOffset(layer, kv_head) + ElementBytes(); }
  size_t VScaleOffset(int layer, int kv_head) const {
    return KScaleOffset(layer, kv_head) + size_t{1} * block_tokens * sizeof(float);
  }
};

// The flat batch of one step, as attention and KV writes see it. B sequences, M rows; row r of sequence b satisfies
// query_start[b] <= r < query_start[b+1]; its token sits at position positions[r] and sees keys 0 .. positions[r].
struct KvBatch {
  std::byte* kv_base = nullptr;  // block i starts at kv_base + i * geometry.BlockBytes()
  const KvGeometry* geometry = nullptr;
  std::span<const int32_t> query_start;   // [B + 1]
  std::span<const int32_t> positions;     // [M]
  std::span<const int32_t> block_tables;  // [B, max_blocks] block ids; entries past a sequence's length are unread
  int max_blocks = 0;
  std::span<const int32_t> rope_rows = {};  // [M] row of the rotary table that turns each row; empty = its position
};

// Rotary tables: cos/sin [rows, D/2] f32, attention factor folded in. Half-split (NEOX) pairing.
struct RopeTable {
  std::span<const float> cos;
  std::span<const float> sin;
  int rotary_dim = 0;  // D, or less for partial rotary
};

struct AttentionSpec {
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  float scale = 0;    // usually D^-0.5
  float softcap = 0;  // 0 = none
  int window = 0;     // 0 = full; W: position i sees keys i-W+1 .. i
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "cpu"
  virtual std::string_view isa() const = 0;   // "avx2"

  // Packs a weight, in parallel. Equal specs give equal PreparedKey strings, so a caller can share the result.
  virtual StatusOr<std::shared_ptr<const LinearOp>> PrepareLinear(const LinearSpec& spec,
                                                                  ExecContext& context) const = 0;
  virtual std::string PreparedKey(const LinearSpec& spec) const = 0;

  // Copies the parts, all of K inputs and of the ranks of one module each (limits::kMaxAdapterRank, at most 3 parts).
  virtual std::shared_ptr<const LowRankOp> PrepareLowRank(std::span<const LowRankPart> parts, int64_t k) const = 0;
  // For each group and each of its rows r: y[r] (row stride ldy) gets the group's operator of x[r] (row stride ldx)
  // added. No row is in two groups. Reduced over K and then over the rank in an order that depends on K, the rank and
  // the ISA only.
  virtual void AddLowRank(ExecContext& context, std::span<const LowRankRows> groups, const float* x, int64_t ldx,
                          float* y, int64_t ldy) const = 0;

  // y [M, W] = x [M, W] / rms(x) * weight [W]; y may be x.
  virtual void RmsNorm(ExecContext& context, const float* x, const float* weight, float eps, int64_t m, int64_t width,
                       float* y) const = 0;
  // x [M, W] += delta [M, W], then y [M, W] = RmsNorm(x). The residual stream and its norm in one pass.
  virtual void AddRmsNorm(ExecContext& context, float* x, const float* delta, const float* weight, float eps, int64_t m,
                          int64_t width, float* y) const = 0;
  // Each of `slices` neighbouring pieces of width floats in the m rows of x (row stride ldx) becomes its own RmsNorm,
  // by one weight [width]: heads, or a whole projection as one slice.
  virtual void RmsNormSlices(ExecContext& context, float* x, int64_t ldx, const float* weight, float eps, int64_t m,
                             int64_t slices, int64_t width) const = 0;
  virtual void Add(ExecContext& context, float* x, const float* delta, int64_t count) const = 0;
  virtual void Scale(ExecContext& context, float* x, float factor, int64_t count) const = 0;
  virtual void Softcap(ExecContext& context, float* x, float cap, int64_t count) const = 0;  // x = cap * tanh(x / cap)
  // y [M, I] = act(gate_up[:, :I]) * gate_up[:, I:], gate_up [M, 2I].
  virtual void GatedActivation(ExecContext& context, Activation activation, const float* gate_up, int64_t m,
                               int64_t inter, float* y) const = 0;
  // Mixture of experts. For each row of logits [M, E]: of the softmax over all experts the k largest (ties to the lower
  // id), ascending by id; divided by their sum if `renormalize`. ids, weights [M, k]; logits are overwritten.
  virtual void RouteExperts(ExecContext& context, float* logits, int64_t m, int64_t experts, int64_t k,
                            bool renormalize, int32_t* ids, float* weights) const = 0;
  // out [rows.size(), W] = x[rows].
  virtual void PickRows(ExecContext& context, const float* x, std::span<const int32_t> rows, int64_t width,
                        float* out) const = 0;
  // y [M, W]: y[r] = sum over j, ascending, of weights[r, j] * x[slots[r, j]].
  virtual void CombineRows(ExecContext& context, const float* x, const int32_t* slots, const float* weights, int64_t m,
                           int64_t k, int64_t width, float* y) const = 0;
  // Rotates q and k of qkv [M, (H + 2 Hkv) * D] in place by their positions, then stores k and v, rounded to the
  // cache's dtype, at their positions' slots of `layer`.
  virtual void RopeAndStoreKv(ExecContext& context, const AttentionSpec& spec, const RopeTable& rope, int layer,
                              const KvBatch& batch, float* qkv) const = 0;
  // out [M, H * D]: softmax(q k^T * scale) v over the cached keys as stored, q = the first H * D of each qkv row
  // (row stride (H + 2 Hkv) * D). Keys are merged in fixed chunks at absolute positions, in ascending order.
  virtual void Attention(ExecContext& context, const AttentionSpec& spec, int layer, const KvBatch& batch,
                         const float* qkv, float* out) const = 0;
};

// Options that a config or an environment variable sets.
struct CpuBackendOptions {
  bool force_reference = false;                         // scalar reference kernels only
  std::shared_ptr<TensorCache> packed_cache = nullptr;  // packed weights of earlier starts; null: none
  bool huge_pages = false;                              // weights from the cache are copied into 2 MiB pages
};
// Fails only for a bad BITRATE_ISA.
StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuBackendOptions& options = {});

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_BACKEND_H_
