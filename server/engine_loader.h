// Checkpoints -> running instances: the ModelLoader of the real server. CPU variants share one backend and one pool.
#ifndef BITRATE_SERVER_ENGINE_LOADER_H_
#define BITRATE_SERVER_ENGINE_LOADER_H_

#include <functional>
#include <memory>
#include <string_view>

#include "engine/base/clock.h"
#include "engine/base/compute_pool.h"
#include "engine/base/status.h"
#include "server/serving_variant.h"
#include "server/settings.h"

namespace bitrate {

struct EngineLoaderOptions {
  PackedCacheSettings packed_cache;
  std::function<void(std::string_view problem)> warn;  // of the packed cache; any thread; may be null
};

// `pool` and `clock` outlive the loader and its instances. Fails only for a bad BITRATE_ISA: a packed cache that cannot
// be used is a warning.
StatusOr<std::unique_ptr<ModelLoader>> MakeEngineLoader(ComputePool* pool, const Clock* clock,
                                                        const EngineLoaderOptions& options = {});

}  // namespace bitrate

#endif  // BITRATE_SERVER_ENGINE_LOADER_H_
