#include "engine/backend/cpu/kernels/vec_avx512.h"
#include "engine/backend/cpu/kernels/vec_table.h"

namespace bitrate {

const VecOps& Avx512VecOps() { return kVecOps<Avx512Vec>; }

}  // namespace bitrate
