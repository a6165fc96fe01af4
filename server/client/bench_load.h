// The load generator of `bitrate bench`: closed loop (a fixed number of streams, each sending its next request when the
// last one ended) or open loop (Poisson arrivals that do not wait for answers, so that queueing shows).
#ifndef BITRATE_SERVER_CLIENT_BENCH_LOAD_H_
#define BITRATE_SERVER_CLIENT_BENCH_LOAD_H_

#include <functional>
#include <string>
#include <vector>

#include "server/client/connection.h"

namespace bitrate {

struct LoadPlan {
  std::string model, variant;
  int requests = 64;
  int concurrency = 8;  // closed loop
  double rate = 0;      // requests per second; > 0 = open loop
  int prompt_tokens = 128;
  int max_tokens = 64;
  uint64_t seed = 1;       // of prompts and arrivals
  int64_t vocab_size = 0;  // random ids are drawn below it: distinct prompts, so that no prefix is shared
};

struct RequestSample {
  bool ok = false;
  std::string error;         // code and message when not ok
  std::string variant;       // that served
  double start_seconds = 0;  // since the run began
  double ttft_seconds = 0;   // send to first token
  double e2e_seconds = 0;
  std::vector<double> gap_seconds;  // inter-token latencies; tokens that share a message share its gap
  int prompt_tokens = 0;
  int completion_tokens = 0;
  double device_seconds = 0;
  double cost = 0;
  std::string currency;
};

struct LoadResult {
  double wall_seconds = 0;
  std::vector<RequestSample> samples;  // in order of sending
};

// Runs the plan; `on_done(finished)` after each request, from any thread. In an open loop at most 1024 requests are in
// flight; one that would exceed it counts as failed ("client limit").
LoadResult RunLoad(const Connection& connection, const LoadPlan& plan, const std::function<void(int)>& on_done);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLIENT_BENCH_LOAD_H_
