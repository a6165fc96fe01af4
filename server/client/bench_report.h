// Samples -> the figures that serving benchmarks report. Pure.
//   TTFT  send to first token            ITL  every gap between tokens
//   TPOT  (E2E - TTFT) / (tokens - 1)    goodput  requests per second that met all objectives
// Quantiles are of the sorted samples by the nearest-rank rule.
#ifndef BITRATE_SERVER_CLIENT_BENCH_REPORT_H_
#define BITRATE_SERVER_CLIENT_BENCH_REPORT_H_

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "server/client/bench_load.h"

namespace bitrate {

struct Quantiles {
  double p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Quantiles QuantilesOf(std::vector<double> values);

struct Objectives {
  double ttft_seconds = 0.2;
  double itl_seconds = 0.05;  // on the request's own p99 gap
};

struct BenchReport {
  int requests = 0, ok = 0;
  double wall_seconds = 0;
  double output_tokens_per_second = 0, input_tokens_per_second = 0, requests_per_second = 0;
  double goodput_requests_per_second = 0;
  Quantiles ttft, itl, tpot, e2e;
  double device_seconds_per_million = 0;  // per million output tokens
  double cost_per_million = 0;
  std::string currency;
  std::map<std::string, int> by_variant, by_error;
};

BenchReport MakeReport(const LoadResult& result, const Objectives& objectives);
nlohmann::json ToJson(const BenchReport& report, const LoadPlan& plan, const Objectives& objectives);
std::string ToText(const BenchReport& report);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLIENT_BENCH_REPORT_H_
