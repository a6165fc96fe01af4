// One decoder, configured by ModelConfig, prepared at one precision on one backend: the weights of a variant.
// Stateless: a forward pass reads weights, writes KV and scratch of its caller.
//
// Thread rule: immutable after Load, shared by instances; a StepWorkspace belongs to one engine thread.
#ifndef BITRATE_ENGINE_MODEL_DECODER_MODEL_H_
#define BITRATE_ENGINE_MODEL_DECODER_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/backend/backend.h"
#include "engine/base/progress.h"
#include "engine/batch/step_input.h"
#include "engine/model/model_config.h"

namespace bitrate {

class SourceFingerprints;  // engine/model/source_fingerprints.h: tells equal tensors without reading them again
class WeightStore;         // engine/model/weight_store.h: shares equal prepared tensors between the variants of a model

// Activations of one step for up to max_rows rows. Allocated once.
struct StepWorkspace {
  int64_t max_rows = 0;
  AlignedBuffer<float> x;         // [max_rows, hidden] residual stream
  AlignedBuffer<float> normed;    // [max_rows, hidden]
  AlignedBuffer<float> qkv;       // [max_rows, (H + 2 Hkv) * D]
  AlignedBuffer<float> attn;      // [max_rows, H * D]
  AlignedBuffer<float> delta;     // [max_rows, hidden]
  AlignedBuffer<float> gate_up;   // [max_rows, 2 * inter]
  AlignedBuffer<float> act;       // [max_rows, inter]
  AlignedBuffer<float> gathered;  // [max_rows, hidden] rows picked for the head or for an expert
  // Mixture of experts: each row's experts, and what they give, grouped by expert.
  AlignedBuffer<float> router;             // [max_rows, experts]
  AlignedBuffer<float> expert_out;         // [max_rows * experts_per_token, hidden]
  AlignedBuffer<float> expert_weights;     // [max_rows, experts_per_token]
  std::vector<int32_t> expert_ids, slots;  // [max_rows, experts_per_token]; slots: rows of expert_out
  std::vector<int32_t> expert_rows;        // [max_rows * experts_per_token] the row that each slot is of
  std::vector<int32_t> expert_ends;        // [experts] one past each expert's last slot
  // Adapters: the rows of each one together, and the operators of the layer at hand. Capacity for max_rows.
  struct AdapterRows {
    const Adapter* adapter;
    int32_t begin, end;  // in adapter_rows
  };
  std::vector<int32_t> adapter_rows;
  std::vector<AdapterRows> adapter_groups;
  std::vector<LowRankRows> low_rank;
  std::vector<int32_t> rope_rows;  // [max_rows] of a model with a rope_switch
  ScratchArena scratch;
  uint64_t bytes() const;
};

class DecoderModel {
 public:
  struct Impl;  // decoder_impl.h

  struct LoadOptions {
    Precision precision;
    int64_t max_context = 0;        // 0 = config.max_positions
    std::optional<DType> kv_dtype;  // unset: by precision (KvGeometryFor)
    ProgressFn progress;
    // Of this checkpoint; outlives the call. Null: every tensor is read for its fingerprint, and the backend's cache of
    // packed weights is left alone.
    SourceFingerprints* fingerprints = nullptr;
  };
  // FAILED_PRECONDITION for an unsupported switch, INVALID_ARGUMENT / NOT_FOUND naming tensor, got and wanted shape.
  // `store` may be null (nothing shared). `checkpoint` may be closed afterwards; `backend` outlives the model.
  static StatusOr<std::shared_ptr<const DecoderModel>> Load(const Checkpoint& checkpoint, const Backend& backend,
                                                            Parallel& parallel, WeightStore* store,
                                                            const LoadOptions& options);

  const ModelConfig& config() const;
  const Precision& precision() const;
  int64_t max_context() const;
  // Sequences of more tokens than this have other rotary factors at all their positions (longrope); 0 = none have.
  int64_t rope_switch() const;
  KvGeometry MakeKvGeometry() const;
  // The same without a model. kv_dtype unset: f32, bf16, fp16 by precision; fp16 for int8 and int4. i8 by request only.
  static KvGeometry KvGeometryFor(const ModelConfig& config, const Precision& precision, std::optional<DType> kv_dtype);
  StepWorkspace MakeWorkspace(int64_t max_rows) const;
  static uint64_t WorkspaceBytes(const ModelConfig& config, int64_t max_rows);

  // One forward pass: writes KV of all rows, leaves the final normed hidden state of row r in workspace.normed[r].
  // input.num_rows() <= workspace.max_rows. `kv_base` as in KvBatch.
  // With a rope_switch each sequence's factors follow from its input.lengths, so they must be the same, or on the same
  // side of the switch, as when the KV that it reads was written.
  void Forward(Parallel& parallel, const StepInput& input, std::byte* kv_base, StepWorkspace& workspace) const;

  // logits [rows.size(), V] f32 of the given rows of the last Forward.
  void Logits(Parallel& parallel, std::span<const int32_t> rows, StepWorkspace& workspace, float* logits) const;

  uint64_t weight_bytes() const;         // resident packed bytes, shared tensors counted in full
  uint64_t unique_weight_bytes() const;  // those not shared with a variant that was loaded earlier
  uint64_t mapped_weight_bytes() const;  // of unique_weight_bytes: pages of mapped files, not private memory
  double weight_bits() const;            // bits per weight over all linear weights, scales included
  LinearInfo linear_info() const;        // of the body's linears (the first); kernels and refusals
  LinearInfo head_info() const;
  // What a decode step reads, in its order: every layer's qkv, o, gate_up and down, then the head. Experts are left
  // out: which of them a step reads depends on its tokens. Lives as long as the model.
  std::vector<PackedPlane> PackedPlanes() const;

  ~DecoderModel();

 private:
  explicit DecoderModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_DECODER_MODEL_H_
