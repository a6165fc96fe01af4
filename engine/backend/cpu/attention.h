// Paged attention with grouped queries, causal and optionally windowed; decode and prefill by the same arithmetic.
//
// Keys are reduced in chunks of 128 at absolute positions; each chunk gives a vector (query row x head) its own
// maximum, sum and accumulator, and chunks are merged in ascending order by one formula. A row's output is therefore a
// function of its query and its keys only. Work is shared as tiles (sequence, rows, kv head) and, where few tiles are
// long, as chunks of a tile whose results wait in scratch for the ordered merge.
//
// Thread rule: one engine thread and its workers. One scratch Reserve a call.
#ifndef BITRATE_ENGINE_BACKEND_CPU_ATTENTION_H_
#define BITRATE_ENGINE_BACKEND_CPU_ATTENTION_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

// Backend::Attention with the operators of one ISA.
void CpuAttention(const VecOps& ops, ExecContext& context, const AttentionSpec& spec, int layer, const KvBatch& batch,
                  const float* qkv, float* out);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_ATTENTION_H_
