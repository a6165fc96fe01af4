// Which kernels this CPU can run. The answer is fixed for the life of the process.
#ifndef BITRATE_ENGINE_BASE_CPU_FEATURES_H_
#define BITRATE_ENGINE_BASE_CPU_FEATURES_H_

#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace bitrate {

// Ordered: a higher value implies that the lower ones run too.
//   kScalar   the reference; any x86-64
//   kAvx2     AVX2 + FMA + F16C
//   kAvx512   AVX-512 F/BW/DQ/VL + VNNI + BF16 (Zen4, Sapphire Rapids and later)
enum class Isa { kScalar = 0, kAvx2 = 1, kAvx512 = 2 };

std::string_view IsaName(Isa isa);  // "scalar", "avx2", "avx512"

// The best the CPU and the operating system offer, ignoring any override.
Isa DetectIsa();

// DetectIsa(), lowered by the environment variable BITRATE_ISA=scalar|avx2|avx512. INVALID_ARGUMENT for an unknown
// name or one above what the CPU has (an override can only lower).
StatusOr<Isa> SelectIsa();

// Every ISA this CPU runs, lowest first: what differential tests loop over.
std::vector<Isa> RunnableIsas();

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_CPU_FEATURES_H_
