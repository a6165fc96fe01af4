#include "engine/backend/cpu/kernels/linear_avx2.h"
#include "engine/backend/cpu/kernels/linear_float_tile.h"
#include "engine/backend/cpu/kernels/linear_simd_avx2.h"

namespace bitrate::linear::avx2 {

void FillFloat(LinearKernels& table) { FillFloatKernels<Avx2>(table); }

}  // namespace bitrate::linear::avx2
