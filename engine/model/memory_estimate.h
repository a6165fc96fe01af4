// How much memory the weights of a variant will take, from headers alone: the check before a load that would not fit.
//
// An upper bound of DecoderModel::weight_bytes() on the CPU backend, within 3 % for models of more than a few megabytes
// (tests/golden/model compares the two). It follows the packed layouts of DESIGN section 6: panels of 64 rows, K
// padded. Shared tensors are counted in full; rope tables, KV cache, workspace and the mapped file are not counted.
// Thread rule: pure function.
#ifndef BITRATE_ENGINE_MODEL_MEMORY_ESTIMATE_H_
#define BITRATE_ENGINE_MODEL_MEMORY_ESTIMATE_H_

#include <cstdint>

#include "engine/artifact/checkpoint.h"
#include "engine/format/precision.h"
#include "engine/model/model_config.h"

namespace bitrate {

uint64_t EstimateWeightBytes(const Checkpoint& checkpoint, const ModelConfig& config, const Precision& precision);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_MEMORY_ESTIMATE_H_
