// The AVX-512 kernel sources compiled a second time over an emulation of their intrinsics, so that they are tested on
// machines without AVX-512.
#ifndef BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_AVX512_H_
#define BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_AVX512_H_

#include "engine/backend/cpu/kernels/linear_kernels.h"

namespace bitrate::linear {

const LinearKernels& EmulatedAvx512LinearKernels();

}  // namespace bitrate::linear

#endif  // BITRATE_TESTS_DIFFERENTIAL_LINEAR_EMULATED_AVX512_H_
