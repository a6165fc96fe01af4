#include "engine/backend/cpu/kernels/vec_avx2.h"
#include "engine/backend/cpu/kernels/vec_table.h"

namespace bitrate {

const VecOps& Avx2VecOps() { return kVecOps<Avx2Vec>; }

}  // namespace bitrate
