// A failed system call on a file as a Status, with one choice of code for all readers and writers.
#ifndef BITRATE_ENGINE_ARTIFACT_FILE_ERROR_H_
#define BITRATE_ENGINE_ARTIFACT_FILE_ERROR_H_

#include <string_view>

#include "engine/base/status.h"

namespace bitrate {

// `what` names the operation ("cannot open"), `error` is errno as it was right after it.
Status FileError(std::string_view path, std::string_view what, int error);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_FILE_ERROR_H_
