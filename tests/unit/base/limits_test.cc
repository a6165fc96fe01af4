// Relations between limits that code relies on. The limits themselves are tested where each is enforced.
#include "engine/base/limits.h"

#include <gtest/gtest.h>

#include <limits>

namespace bitrate::limits {
namespace {

TEST(Limits, ProductsOfLimitsFitTheirTypes) {
  // Sizes are computed in int64_t: the largest tensor in f64, the largest activation row set, the largest KV index.
  EXPECT_LE(kMaxTensorElements, std::numeric_limits<int64_t>::max() / 8);
  EXPECT_LE(kMaxHeads * kMaxHeadDim, std::numeric_limits<int64_t>::max() / 8 / kMaxContext);
  EXPECT_LE(kMaxVocab * kMaxHidden, std::numeric_limits<int64_t>::max() / 8);
  // Positions, rows, heads and ids are int32_t in batches.
  EXPECT_LE(kMaxContext, std::numeric_limits<int32_t>::max());
  EXPECT_LE(kMaxVocab, std::numeric_limits<int32_t>::max());
  EXPECT_LE(kMaxHeads * kMaxHeadDim * 3, std::numeric_limits<int32_t>::max());
}

TEST(Limits, WhatOneStageEmitsTheNextAccepts) {
  EXPECT_LE(kMaxTemplateOutputBytes, kMaxTokenizeBytes);
  EXPECT_LE(kMaxTemplateBytes, kMaxStringBytes);
  EXPECT_LE(kMaxSafetensorsHeaderBytes, kMaxJsonBytes);
  EXPECT_LE(kMaxTensors, kMaxJsonValues);
}

}  // namespace
}  // namespace bitrate::limits
