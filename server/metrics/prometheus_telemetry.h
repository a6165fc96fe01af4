// Telemetry as Prometheus series (names, labels and buckets: reference ecosystem 3.3; cost counters 3.4). The only
// place that includes prometheus-cpp.
//
// Thread rule: thread-safe. Handles are resolved when a variant is first named; nothing is looked up per token or step,
// except routing decisions and outcomes, whose label sets come from the configuration and from fixed lists.
// Errors: none reach a caller; prometheus-cpp's own exceptions (a bad label name) are programmer errors.
#ifndef BITRATE_SERVER_METRICS_PROMETHEUS_TELEMETRY_H_
#define BITRATE_SERVER_METRICS_PROMETHEUS_TELEMETRY_H_

#include <memory>
#include <string>

#include "engine/base/clock.h"
#include "server/cost.h"
#include "server/telemetry.h"

namespace bitrate {

struct BuildLabels {
  std::string version;
  std::string revision;
};

class PrometheusTelemetry : public Telemetry {
 public:
  // Prometheus text format 0.0.4. Pod-level gauges and resident-memory cost are brought up to date here.
  virtual std::string Scrape() = 0;
};

// `clock` must outlive the result; prices without a currency leave `bitrate_cost_total` out.
std::unique_ptr<PrometheusTelemetry> MakePrometheusTelemetry(const BuildLabels& build, const Prices& prices,
                                                             const Clock* clock);

}  // namespace bitrate

#endif  // BITRATE_SERVER_METRICS_PROMETHEUS_TELEMETRY_H_
