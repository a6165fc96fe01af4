#include "engine/base/cpu_features.h"

#include <cpuid.h>

#include <cstdlib>

namespace bitrate {
namespace {

// Read from CPUID, since Clang 14's __builtin_cpu_supports knows neither "f16c" nor "avx512bf16".
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}
bool HasAvx512Bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 5)) != 0;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

Isa DetectIsa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
  if (!avx2) return Isa::kScalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni") && HasAvx512Bf16();
  return avx512 ? Isa::kAvx512 : Isa::kAvx2;
}

StatusOr<Isa> SelectIsa() {
  const Isa best = DetectIsa();
  const char* override_name = std::getenv("BITRATE_ISA");
  if (override_name == nullptr || *override_name == '\0') return best;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (IsaName(isa) != override_name) continue;
    if (isa > best) {
      return InvalidArgument("BITRATE_ISA={} asks for more than this CPU has ({})", override_name, IsaName(best));
    }
    return isa;
  }
  return InvalidArgument("BITRATE_ISA={} is unknown; want scalar, avx2 or avx512", override_name);
}

std::vector<Isa> RunnableIsas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (isa <= DetectIsa()) isas.push_back(isa);
  }
  return isas;
}

}  // namespace bitrate
