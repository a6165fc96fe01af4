// Rotary embedding and the write into the paged KV cache. Thread rule: one engine thread and its workers.
#ifndef BITRATE_ENGINE_BACKEND_CPU_ROPE_H_
#define BITRATE_ENGINE_BACKEND_CPU_ROPE_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

// Backend::RopeAndStoreKv with the operators of one ISA. The rope table has rotary_dim / 2 columns.
void CpuRopeAndStoreKv(const VecOps& ops, ExecContext& context, const AttentionSpec& spec, const RopeTable& rope,
                       int layer, const KvBatch& batch, float* qkv);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_ROPE_H_
