// Quality of every precision as served: perplexity on the same text as a ratio to fp32, bounded; mean KL divergence and
// same top-1 are printed beside it. The default test scores a part of the text (QUALITY_WINDOWS windows of 512 tokens,
// spread over it), the campaign all 13; smollm2_test scores all of it in fp32 against the reference.
//
// The packaged model is 4-bit already: "int4" keeps its grid, "int4-g64-*" round it a second time.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "tests/golden/model/quality.h"
#include "tests/golden/model/smollm2_data.h"

namespace bitrate::golden {
namespace {

// Largest accepted perplexity ratio. Measured by an independent implementation on the whole text: bf16 1.001,
// int8 1.010, int8-token 1.037, int4 1.008, int4-g64-asym 1.37, int4-g64-sym 1.44.
const std::map<std::string, double> kBounds = {{"bf16", 1.003},       {"fp16", 1.001}, {"int8", 1.02},
                                               {"int8-token", 1.05},  {"int4", 1.015}, {"int4-g64-asym", 1.42},
                                               {"int4-g64-sym", 1.50}};

TEST(PrecisionQuality, PerplexityRatios) {
  const auto checkpoint = OpenSmolLm2();
  ASSERT_NE(checkpoint, nullptr);
  const auto all = PerplexityWindows();
  std::vector<std::vector<int32_t>> windows;
  for (size_t i = 0; i < QUALITY_WINDOWS; ++i) windows.push_back(all[i * all.size() / QUALITY_WINDOWS]);
  std::vector<std::string> precisions;
  for (const auto& [precision, bound] : kBounds) precisions.push_back(precision);
  Machine machine(*SelectIsa(), 2);
  const std::vector<Quality> measured = MeasureQuality(machine, *checkpoint, precisions, windows);
  ASSERT_EQ(measured.size(), precisions.size());
  std::printf("%zu of %zu windows, %s\n%-14s %6s %10s %9s %11s\n", windows.size(), all.size(),
              std::string(machine.backend().isa()).c_str(), "precision", "bits", "ppl ratio", "mean KLD", "same top-1");
  for (const Quality& q : measured) {
    std::printf("%-14s %6.2f %10.4f %9.4f %10.1f%%\n", q.precision.c_str(), q.weight_bits, q.ppl_ratio, q.mean_kld,
                100 * q.same_top1);
    EXPECT_LE(q.ppl_ratio, kBounds.at(q.precision)) << q.precision;
    EXPECT_GE(q.mean_kld, -1e-6) << q.precision;
  }
}

}  // namespace
}  // namespace bitrate::golden
