// A build without oneDNN.
#include "engine/backend/cpu/onednn_gemm.h"

namespace bitrate::linear {

StatusOr<std::shared_ptr<const PrefillGemm>> MakeOnednnGemm(std::shared_ptr<const PackedWeights>, const LinearKernels&,
                                                            Isa, bool, PrefillProbes*) {
  return FailedPrecondition("onednn: this build was made without it");
}

}  // namespace bitrate::linear
