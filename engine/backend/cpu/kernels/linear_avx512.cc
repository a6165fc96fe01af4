// Compiled without ISA flags: only gathers the table, so it may run anywhere.
#include "engine/backend/cpu/kernels/linear_avx512.h"

#include "engine/backend/cpu/kernels/linear_avx2.h"

namespace bitrate::linear {

const LinearKernels& Avx512LinearKernels() {
  static const LinearKernels kTable = [] {
    LinearKernels table = {};
    table.isa = "avx512";
    avx2::FillQuantize(table);
    avx512::FillFloat(table);
    avx512::FillBf16(table);
    avx512::FillInt8(table);
    avx512::FillInt4(table);
    return table;
  }();
  return kTable;
}

}  // namespace bitrate::linear
