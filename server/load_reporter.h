// Shows the loading of variants to whoever started the server: a progress bar where stderr is a terminal, log lines
// otherwise.
#ifndef BITRATE_SERVER_LOAD_REPORTER_H_
#define BITRATE_SERVER_LOAD_REPORTER_H_

#include <memory>

#include "server/request_log.h"
#include "server/variant_registry.h"

namespace bitrate {

// `log` outlives the result.
std::unique_ptr<LoadReporter> MakeLoadReporter(RequestLog* log, bool is_terminal);

}  // namespace bitrate

#endif  // BITRATE_SERVER_LOAD_REPORTER_H_
