// The pieces of the AVX-512 table, one source file each. Activations are quantized and rounded by the AVX2 code.
#ifndef BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX512_H_
#define BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX512_H_

#include "engine/backend/cpu/kernels/linear_kernels.h"

namespace bitrate::linear::avx512 {

void FillFloat(LinearKernels& table);
void FillBf16(LinearKernels& table);
void FillInt8(LinearKernels& table);
void FillInt4(LinearKernels& table);

}  // namespace bitrate::linear::avx512

#endif  // BITRATE_ENGINE_BACKEND_CPU_KERNELS_LINEAR_AVX512_H_
