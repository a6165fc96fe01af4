// The linear operators of the CPU backend: packs weights of any storage format into 64-row panels for one precision and
// chooses kernels from an ordered list of candidates (fastest first, scalar reference last).
//
// Thread rule: prepared operators are immutable and shared; an ExecContext belongs to one engine thread.
// Promise 2: an output depends on its row of x, the weights and the ISA only, never on M, tiling or workers, to the
// bit.
//   float math (fp32, bf16, fp16 and weight-only): K in blocks of 1024 (512 when K < 1024), ascending; in each block
//   one f32 accumulator an output, fma in ascending k; block sums added in ascending order; then bias. int8
//   activations: exact i32 dot of each activation group, then acc = fma(float(dot), scale, acc), groups ascending.
// Errors: INVALID_ARGUMENT for parts that do not fit together, FAILED_PRECONDITION for a shape no kernel takes.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_H_

#include <memory>
#include <string>

#include "engine/backend/backend.h"
#include "engine/base/cpu_features.h"
#include "engine/base/status.h"

namespace bitrate {

namespace linear {
class PackedStore;    // packed_store.h
class PrefillProbes;  // onednn_gemm.h
}  // namespace linear

// Packs `spec` with the workers of `context`, 64 rows at a time (the f32 matrix is never held whole). Uses kernels of
// `isa` or, with force_reference, the scalar reference only. `spec` is not needed afterwards. `store`, where the packed
// bytes live, may be null: memory of the operator's own, and no cache. So may `probes`: oneDNN is compared anew.
StatusOr<std::shared_ptr<const LinearOp>> PrepareCpuLinear(const LinearSpec& spec, Isa isa, bool force_reference,
                                                           ExecContext& context, linear::PackedStore* store = nullptr,
                                                           linear::PrefillProbes* probes = nullptr);

// Equal specs (the same matrices in memory, precision, bias, ISA) give equal keys.
std::string CpuLinearKey(const LinearSpec& spec, Isa isa, bool force_reference);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_H_
