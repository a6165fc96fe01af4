#include "engine/backend/cpu/kernels/vec_scalar.h"
#include "engine/backend/cpu/kernels/vec_table.h"

namespace bitrate {

const VecOps& ScalarVecOps() { return kVecOps<ScalarVec>; }

}  // namespace bitrate
