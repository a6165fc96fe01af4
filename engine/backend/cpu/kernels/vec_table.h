// The table of row operators for one vector type. Included by the one source file of each ISA.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_TABLE_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_TABLE_H_

#include "engine/backend/cpu/kernels/attention_kernels.h"
#include "engine/backend/cpu/kernels/low_rank_kernels.h"
#include "engine/backend/cpu/kernels/norm_kernels.h"
#include "engine/backend/cpu/kernels/rope_kernels.h"
#include "engine/backend/cpu/kernels/vec_elementwise.h"
#include "engine/backend/cpu/kernels/vec_ops.h"

namespace bitrate {

template <typename V>
inline constexpr VecOps kVecOps = {
    .exp = ExpRow<V>,
    .tanh = TanhRow<V>,
    .rms_norm = RmsNormRow<V>,
    .add_rms_norm = AddRmsNormRow<V>,
    .add = AddRow<V>,
    .silu_mul = SiluMulRow<V>,
    .gelu_tanh_mul = GeluTanhMulRow<V>,
    .scale = ScaleRow<V>,
    .softcap = SoftcapRow<V>,
    .rope = RopeRow<V>,
    .to_bf16 = ToBf16Row<V>,
    .to_fp16 = ToFp16Row<V>,
    .from_bf16 = FromBf16Row<V>,
    .from_fp16 = FromFp16Row<V>,
    .quantize_i8 = QuantizeI8Row<V>,
    .from_i8 = FromI8Row<V>,
    .low_rank_down = LowRankDownRow<V>,
    .low_rank_up = LowRankUpRow<V>,
    .attend_f32 = AttendChunk<V, KvF32<typename V::Register>>,
    .attend_bf16 = AttendChunk<V, KvBf16<typename V::Register>>,
    .attend_fp16 = AttendChunk<V, KvFp16<typename V::Register>>,
    .attend_i8 = AttendChunk<V, KvI8<typename V::Register>>,
    .merge = MergeChunk<V>,
    .finish = FinishRow<V>,
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_VEC_TABLE_H_
