// The pieces of the AVX2 table, one source file each.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX2_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX2_H_

#include "engine/backend/cpu/kernels/linear_kernels.h"

namespace bitrate::linear::avx2 {

void FillFloat(LinearKernels& table);
void FillInt8(LinearKernels& table);
void FillInt4(LinearKernels& table);
void FillQuantize(LinearKernels& table);

// A RoundRowFn to bf16 values, for kernels of later ISAs that read bf16.
void RoundToBf16(const float* x, int64_t k, int64_t k_padded, void* out);

}  // namespace bitrate::linear::avx2

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX2_H_
