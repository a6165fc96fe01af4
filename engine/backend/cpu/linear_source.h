// The linear operator of formats that no panel layout holds without loss: its rows stay as the checkpoint has them, and
// a Run decodes them, panel by panel, to the f32 panels of the normal kernel. Exact, as small as the file, slower.
// Thread rule: as LinearOp.
#ifndef BITRATE_ENGINE_BACKEND_CPU_LINEAR_SOURCE_H_
#define BITRATE_ENGINE_BACKEND_CPU_LINEAR_SOURCE_H_

#include <memory>
#include <span>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/linear_select.h"
#include "engine/base/status.h"
#include "engine/format/weight_matrix.h"

namespace bitrate::linear {

// `parts`, stacked along N, of one K and format, valid; the operator keeps their owners. bias [N] or empty. NOT_FOUND
// where a part came without its data.
StatusOr<std::shared_ptr<const LinearOp>> MakeSourceLinear(std::span<const WeightMatrix> parts,
                                                           std::span<const float> bias, Choice choice);

}  // namespace bitrate::linear

#endif  // BITRATE_ENGINE_BACKEND_CPU_LINEAR_SOURCE_H_
