// How long work reports itself. Called from any worker thread, serialised by the caller of the callback; cheap.
#ifndef BITRATE_ENGINE_BASE_PROGRESS_H_
#define BITRATE_ENGINE_BASE_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <string_view>

namespace bitrate {

// (what, done, total): e.g. ("quantize int4", 120, 211). May be empty.
using ProgressFn = std::function<void(std::string_view what, int64_t done, int64_t total)>;

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_PROGRESS_H_
