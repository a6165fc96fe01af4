// The ordered kernel candidates of the CPU's linear operators. Internal to engine/backend/cpu and its tests.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_SELECT_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_SELECT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/backend/cpu/linear_scheme.h"
#include "engine/base/cpu_features.h"

namespace bitrate::linear {

class PackedStore;    // packed_store.h
class PrefillProbes;  // onednn_gemm.h

// The kernels chosen for a scheme and the reasons of the faster candidates that refused. oneDNN may take many rows of x
// if prefill_isa is set.
struct Choice {
  const LinearKernels* kernels = nullptr;
  std::vector<std::string> refusals;
  std::optional<Isa> prefill_isa = std::nullopt;
  PrefillProbes* probes = nullptr;  // what is known of oneDNN here; may be null
};
Choice ChooseKernels(const Scheme& scheme, Isa isa, bool force_reference);

// Checks that the parts fit together and that no size overflows what kernels index.
Status ValidateSpec(const LinearSpec& spec);

// PrepareCpuLinear with the kernels given: tests run the tables of other ISAs (emulated) through it. `store` may be
// null: nothing is cached.
using KernelChooser = absl::FunctionRef<Choice(const Scheme&)>;
StatusOr<std::shared_ptr<const LinearOp>> PrepareLinear(const LinearSpec& spec, KernelChooser choose,
                                                        ExecContext& context, PackedStore* store = nullptr);

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_SELECT_H_
