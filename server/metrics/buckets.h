// Histogram buckets: the same for every variant, or their quantiles could not be compared. Seconds and counts.
// Lists follow OpenTelemetry's GenAI conventions, extended to what a CPU needs (reference ecosystem 3.1, 3.3).
#ifndef BITRATE_SERVER_METRICS_BUCKETS_H_
#define BITRATE_SERVER_METRICS_BUCKETS_H_

#include <prometheus/histogram.h>

namespace bitrate::buckets {

using Boundaries = prometheus::Histogram::BucketBoundaries;

inline Boundaries TimeToFirstToken() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160};
}
inline Boundaries InterToken() {
  return {.0005, .001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5};
}
inline Boundaries RequestDuration() {
  return {.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68};
}
inline Boundaries Tokens() { return {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536}; }
inline Boundaries StepSeconds() {
  return {.0005, .001, .0025, .005, .01, .02, .03, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2.5, 5};
}
inline Boundaries BatchSize() { return {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256}; }

}  // namespace bitrate::buckets

#endif  // BITRATE_SERVER_METRICS_BUCKETS_H_
