// What the client commands print and compute, on hand-made samples.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/client/bench_report.h"
#include "server/client/render.h"

namespace bitrate {
namespace {

using ::testing::HasSubstr;

TEST(Render, OneLineCutsAtCharactersAndHidesControlCharacters) {
  EXPECT_EQ(OneLine("abc", 10), "abc");
  EXPECT_EQ(OneLine("a\nb", 10), "a⏎b");
  EXPECT_EQ(OneLine("a\x1b[31mb", 20), "a [31mb");
  EXPECT_EQ(OneLine("äöüß", 4), "äöüß");
  EXPECT_EQ(OneLine("äöüßé", 4), "äöü…");
}

TEST(Render, TableAlignsTextLeftAndNumbersRight) {
  Table table({"name", "n"}, {true, false});
  table.AddRow({"ä", "10"});
  EXPECT_EQ(table.ToString(), "name   n\nä     10\n");
}

TEST(Render, HumanBytes) {
  EXPECT_EQ(HumanBytes(128ull << 20), "128.0 MiB");
  EXPECT_EQ(HumanBytes(3ull << 29), "1.50 GiB");
}

TEST(BenchReport, NearestRankQuantiles) {
  // Nearest rank of 1..10: p50 is the 5th, p90 the 9th, p99 the 10th.
  const Quantiles q = QuantilesOf({10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
  EXPECT_EQ(q.p50, 5);
  EXPECT_EQ(q.p90, 9);
  EXPECT_EQ(q.p99, 10);
  EXPECT_EQ(QuantilesOf({}).max, 0);
  EXPECT_EQ(QuantilesOf({7}).p50, 7);
}

RequestSample Sample(double ttft, std::vector<double> gaps) {
  RequestSample sample;
  sample.ok = true;
  sample.variant = "int8";
  sample.ttft_seconds = ttft;
  sample.prompt_tokens = 10;
  sample.completion_tokens = static_cast<int>(gaps.size()) + 1;
  sample.e2e_seconds = ttft;
  for (double gap : gaps) sample.e2e_seconds += gap;
  sample.gap_seconds = std::move(gaps);
  sample.device_seconds = 0.5;
  return sample;
}

TEST(BenchReport, RatesGoodputAndTpot) {
  LoadResult result;
  result.wall_seconds = 2;
  result.samples = {Sample(0.1, {0.01, 0.03}), Sample(0.5, {0.01, 0.01}), RequestSample{.error = "8: full"}};
  const BenchReport report = MakeReport(result, {.ttft_seconds = 0.2, .itl_seconds = 0.05});
  EXPECT_EQ(report.requests, 3);
  EXPECT_EQ(report.ok, 2);
  EXPECT_DOUBLE_EQ(report.output_tokens_per_second, 3);  // 6 tokens in 2 s
  EXPECT_DOUBLE_EQ(report.input_tokens_per_second, 10);
  EXPECT_DOUBLE_EQ(report.goodput_requests_per_second, 0.5);  // the second misses TTFT
  EXPECT_NEAR(report.tpot.max, 0.02, 1e-12);                  // (0.01 + 0.03) / 2
  EXPECT_NEAR(report.device_seconds_per_million, 1.0 / 6 * 1e6, 1e-6);
  EXPECT_EQ(report.by_error.at("8: full"), 1);
  EXPECT_THAT(ToText(report), HasSubstr("2 of 3 requests ok"));
}

}  // namespace
}  // namespace bitrate
