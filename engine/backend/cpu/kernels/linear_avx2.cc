// Compiled without ISA flags: only gathers the table, so it may run anywhere.
#include "engine/backend/cpu/kernels/linear_avx2.h"

namespace bitrate::linear {

const LinearKernels& Avx2LinearKernels() {
  static const LinearKernels kTable = [] {
    LinearKernels table = {};
    table.isa = "avx2";
    avx2::FillFloat(table);
    avx2::FillInt8(table);
    avx2::FillInt4(table);
    avx2::FillQuantize(table);
    return table;
  }();
  return kTable;
}

}  // namespace bitrate::linear
