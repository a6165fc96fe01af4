#include "tests/differential/linear/emulated_intrinsics.h"
// The emulation comes first: it renames what the source below uses.
#include "engine/backend/cpu/kernels/linear_avx512.cc"
