// How the row operators of the CPU backend share rows among workers. Rows are independent, so the split changes no bit.
#ifndef BITRATE_ENGINE_BACKEND_CPU_OPS_ROWS_H_
#define BITRATE_ENGINE_BACKEND_CPU_OPS_ROWS_H_

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/vec_ops.h"
#include "engine/base/cpu_features.h"

namespace bitrate {

const VecOps& VecOpsFor(Isa isa);

// Calls fn(begin, end) over [0, count), divided among the workers if it has at least kWorthSharing elements of work:
// below that, waking them costs more than it saves (a few microseconds against about 1 element a nanosecond).
template <typename F>
void ForRanges(ExecContext& context, int64_t count, int64_t elements_each, const F& fn) {
  constexpr int64_t kWorthSharing = 8192;
  const int64_t workers = context.parallel->num_workers();
  if (workers == 1 || count < 2 || count * elements_each < kWorthSharing) return fn(int64_t{0}, count);
  context.parallel->Run([&](int worker) {
    const int64_t begin = count * worker / workers, end = count * (worker + 1) / workers;
    if (begin < end) fn(begin, end);
  });
}

// Calls fn(begin, n) over the pieces of [0, count) floats that depend on nothing but themselves.
template <typename F>
void ForPieces(ExecContext& context, int64_t count, const F& fn) {
  constexpr int64_t kPiece = 1024;
  ForRanges(context, (count + kPiece - 1) / kPiece, kPiece,
            [&](int64_t begin, int64_t end) { fn(begin * kPiece, std::min(count, end * kPiece) - begin * kPiece); });
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BACKEND_CPU_OPS_ROWS_H_
