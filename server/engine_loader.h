// Checkpoints -> running instances: the ModelLoader of the real server. CPU variants share one backend and one pool.
#ifndef BITRATE_SERVER_ENGINE_LOADER_H_
#define BITRATE_SERVER_ENGINE_LOADER_H_

#include <memory>

#include "engine/base/clock.h"
#include "engine/base/compute_pool.h"
#include "engine/base/status.h"
#include "server/serving_variant.h"

namespace bitrate {

// `pool` and `clock` outlive the loader and its instances. Fails only for a bad BITRATE_ISA.
StatusOr<std::unique_ptr<ModelLoader>> MakeEngineLoader(ComputePool* pool, const Clock* clock);

}  // namespace bitrate

#endif  // BITRATE_SERVER_ENGINE_LOADER_H_
