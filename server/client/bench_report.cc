#include "server/client/bench_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/client/render.h"

namespace bitrate {
namespace {

double NearestRank(const std::vector<double>& sorted, double quantile) {
  const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

nlohmann::json QuantilesJson(const Quantiles& q) {
  return {{"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}, {"max", q.max}};
}

}  // namespace

Quantiles QuantilesOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {NearestRank(values, 0.5), NearestRank(values, 0.9), NearestRank(values, 0.99), values.back()};
}

BenchReport MakeReport(const LoadResult& result, const Objectives& objectives) {
  BenchReport report;
  report.requests = static_cast<int>(result.samples.size());
  report.wall_seconds = result.wall_seconds;
  std::vector<double> ttft, itl, tpot, e2e;
  double output = 0, input = 0, device = 0, cost = 0;
  int good = 0;
  for (const RequestSample& sample : result.samples) {
    if (!sample.ok) {
      ++report.by_error[sample.error];
      continue;
    }
    ++report.ok;
    ++report.by_variant[sample.variant];
    output += sample.completion_tokens;
    input += sample.prompt_tokens;
    device += sample.device_seconds;
    cost += sample.cost;
    if (!sample.currency.empty()) report.currency = sample.currency;
    ttft.push_back(sample.ttft_seconds);
    e2e.push_back(sample.e2e_seconds);
    if (sample.completion_tokens > 1) {
      tpot.push_back((sample.e2e_seconds - sample.ttft_seconds) / (sample.completion_tokens - 1));
    }
    itl.insert(itl.end(), sample.gap_seconds.begin(), sample.gap_seconds.end());
    good +=
        sample.ttft_seconds <= objectives.ttft_seconds && QuantilesOf(sample.gap_seconds).p99 <= objectives.itl_seconds;
  }
  const double wall = std::max(result.wall_seconds, 1e-9);
  report.output_tokens_per_second = output / wall;
  report.input_tokens_per_second = input / wall;
  report.requests_per_second = report.ok / wall;
  report.goodput_requests_per_second = good / wall;
  report.ttft = QuantilesOf(std::move(ttft));
  report.itl = QuantilesOf(std::move(itl));
  report.tpot = QuantilesOf(std::move(tpot));
  report.e2e = QuantilesOf(std::move(e2e));
  if (output > 0) {
    report.device_seconds_per_million = device / output * 1e6;
    report.cost_per_million = cost / output * 1e6;
  }
  return report;
}

nlohmann::json ToJson(const BenchReport& r, const LoadPlan& plan, const Objectives& objectives) {
  return {{"plan",
           {{"model", plan.model},
            {"variant", plan.variant},
            {"requests", plan.requests},
            {"concurrency", plan.rate > 0 ? 0 : plan.concurrency},
            {"rate", plan.rate},
            {"prompt_tokens", plan.prompt_tokens},
            {"max_tokens", plan.max_tokens},
            {"seed", plan.seed}}},
          {"objectives", {{"ttft_seconds", objectives.ttft_seconds}, {"itl_seconds", objectives.itl_seconds}}},
          {"requests", r.requests},
          {"ok", r.ok},
          {"wall_seconds", r.wall_seconds},
          {"output_tokens_per_second", r.output_tokens_per_second},
          {"input_tokens_per_second", r.input_tokens_per_second},
          {"requests_per_second", r.requests_per_second},
          {"goodput_requests_per_second", r.goodput_requests_per_second},
          {"ttft_seconds", QuantilesJson(r.ttft)},
          {"itl_seconds", QuantilesJson(r.itl)},
          {"tpot_seconds", QuantilesJson(r.tpot)},
          {"e2e_seconds", QuantilesJson(r.e2e)},
          {"device_seconds_per_million_output_tokens", r.device_seconds_per_million},
          {"cost_per_million_output_tokens", r.cost_per_million},
          {"currency", r.currency},
          {"by_variant", r.by_variant},
          {"by_error", r.by_error}};
}

std::string ToText(const BenchReport& r) {
  Table table({"", "p50", "p90", "p99", "max"}, {true, false, false, false, false});
  const auto row = [&](const char* name, const Quantiles& q) {
    table.AddRow({name, fmt::format("{:.1f}", q.p50 * 1e3), fmt::format("{:.1f}", q.p90 * 1e3),
                  fmt::format("{:.1f}", q.p99 * 1e3), fmt::format("{:.1f}", q.max * 1e3)});
  };
  row("TTFT ms", r.ttft);
  row("ITL ms", r.itl);
  row("TPOT ms", r.tpot);
  row("E2E ms", r.e2e);
  std::string text = fmt::format(
      "{} of {} requests ok in {:.2f} s: {:.1f} output tok/s, {:.1f} input tok/s, {:.2f} requests/s, goodput "
      "{:.2f}/s\n",
      r.ok, r.requests, r.wall_seconds, r.output_tokens_per_second, r.input_tokens_per_second, r.requests_per_second,
      r.goodput_requests_per_second);
  text += table.ToString();
  text += fmt::format("{:.0f} device-seconds per million output tokens", r.device_seconds_per_million);
  if (!r.currency.empty()) text += fmt::format(" = {} {:.3f}", r.currency, r.cost_per_million);
  text += "\n";
  for (const auto& [variant, count] : r.by_variant) text += fmt::format("  {} requests served by {}\n", count, variant);
  for (const auto& [error, count] : r.by_error) text += fmt::format("  {} failed: {}\n", count, error);
  return text;
}

}  // namespace bitrate
