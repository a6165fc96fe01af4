// The AVX-512 row operators over the emulated intrinsics, under other names.
#include "tests/differential/simde_avx512.h"

#define Avx512Vec EmulatedAvx512Vec
#define Avx512VecOps RenamedAvx512VecOps
#include "engine/backend/cpu/kernels/vec_ops_avx512.cc"
#undef Avx512VecOps

#include "tests/differential/ops/ops_fixture.h"

namespace bitrate::ops_test {

const VecOps& EmulatedAvx512VecOps() { return RenamedAvx512VecOps(); }

}  // namespace bitrate::ops_test
