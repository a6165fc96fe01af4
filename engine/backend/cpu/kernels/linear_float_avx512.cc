#include "engine/backend/cpu/kernels/linear_avx512.h"
#include "engine/backend/cpu/kernels/linear_float_tile.h"
#include "engine/backend/cpu/kernels/linear_simd_avx512.h"

namespace bitrate::linear::avx512 {

void FillFloat(LinearKernels& table) { FillFloatKernels<Avx512>(table); }

}  // namespace bitrate::linear::avx512
