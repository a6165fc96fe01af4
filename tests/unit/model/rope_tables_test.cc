#include "engine/model/rope_tables.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitrate {
namespace {

// Expected frequencies: the published formulas evaluated in float64 by a separate script; float32 may differ by a few
// units in the last place.
void ExpectFrequencies(const RopeConfig& rope, int64_t head_dim, const std::vector<double>& wanted) {
  const std::vector<float> got = ComputeRopeFrequencies(rope, head_dim).inv_freq;
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i] / wanted[i], 1.0, 1e-6) << i;
}

TEST(RopeTables, DefaultAndLinear) {
  RopeConfig rope;
  std::vector<double> wanted;
  for (int i = 0; i < 8; ++i) wanted.push_back(std::pow(10000.0, -i / 8.0));
  ExpectFrequencies(rope, 16, wanted);
  rope.kind = RopeConfig::Kind::kLinear;
  rope.factor = 4;
  for (double& f : wanted) f /= 4;
  ExpectFrequencies(rope, 16, wanted);
}

TEST(RopeTables, Llama3) {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kLlama3;
  rope.theta = 5e5;
  rope.factor = 8;
  rope.original_max_positions = 64;
  ExpectFrequencies(rope, 16,
                    {1.0, 0.0794030091792082, 0.004700753866357992, 0.0009115830921521387, 0.00017677669529663688,
                     3.428102195952591e-05, 6.647869871181235e-06, 1.2891731721515574e-06});
}

RopeConfig Yarn() {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kYarn;
  rope.factor = 4;
  rope.original_max_positions = 2048;
  return rope;
}

TEST(RopeTables, Yarn) {
  RopeConfig rope = Yarn();
  ExpectFrequencies(
      rope, 32,
      {1, 0.562341325, 0.316227766, 0.177827941, 0.1, 0.0502090469, 0.0248464673, 0.012066896, 0.00571428571,
       0.00261087044, 0.00112938488, 0.000444569853, 0.00025, 0.000140585331, 7.90569415e-05, 4.44569853e-05});
  rope.truncate = false;
  ExpectFrequencies(
      rope, 32,
      {1, 0.562341325, 0.316227766, 0.177827941, 0.1, 0.0494530869, 0.0238701923, 0.011207952, 0.00505697152,
       0.00214322252, 0.000811290382, 0.000444569853, 0.00025, 0.000140585331, 7.90569415e-05, 4.44569853e-05});
}

TEST(RopeTables, YarnAttentionFactor) {
  RopeConfig rope = Yarn();
  EXPECT_NEAR(ComputeRopeFrequencies(rope, 32).attention_factor, 1.138629436111989, 1e-6);  // 0.1 ln 4 + 1
  rope.mscale = 0.7;
  rope.mscale_all_dim = 0.8;
  EXPECT_NEAR(ComputeRopeFrequencies(rope, 32).attention_factor, 0.9875210196015165, 1e-6);
  rope.attention_factor = 1.5;
  EXPECT_EQ(ComputeRopeFrequencies(rope, 32).attention_factor, 1.5f);
  rope = Yarn();
  rope.factor = 0.5;  // no stretching: no scale
  EXPECT_EQ(ComputeRopeFrequencies(rope, 32).attention_factor, 1.0f);
}

TEST(RopeTables, ExplicitFactorsDivide) {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kFactors;
  rope.factors = {1, 2, 4, 8};
  ExpectFrequencies(rope, 8, {1.0, 0.05, 0.0025, 0.000125});
}

RopeConfig LongRope() {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kLongRope;
  rope.original_max_positions = 16;
  rope.factor = 16;
  rope.factors = {1, 1.05f, 1.1f, 1.15f};
  rope.long_factors = {1, 1.7f, 2.4f, 3.1f};
  return rope;
}

TEST(RopeTables, LongRopeHasTwoSetsOfFrequencies) {
  const RopeConfig rope = LongRope();
  for (const bool is_long : {false, true}) {
    const RopeFrequencies got = ComputeRopeFrequencies(rope, 8, is_long);
    for (size_t i = 0; i < 4; ++i) {
      const double divisor = static_cast<double>((is_long ? rope.long_factors : rope.factors)[i]);
      const double wanted = 1 / (divisor * std::pow(10000.0, static_cast<double>(i) / 4));
      EXPECT_NEAR(got.inv_freq[i] / wanted, 1.0, 1e-6) << is_long << " " << i;
    }
    EXPECT_NEAR(got.attention_factor, std::sqrt(2.0), 1e-6);  // ln 16 / ln 16 + 1
  }
  RopeConfig given = rope;
  given.attention_factor = 1.25;
  EXPECT_EQ(ComputeRopeFrequencies(given, 8).attention_factor, 1.25f);
  given = rope;
  given.factor = 1;
  EXPECT_EQ(ComputeRopeFrequencies(given, 8).attention_factor, 1.0f);
}

TEST(RopeTables, LongRopeKeepsTheShortRowsBeforeTheLongOnes) {
  const RopeConfig rope = LongRope();
  const RopeTables tables(rope, 8, 40);
  EXPECT_EQ(tables.long_row(), 16);
  const RopeTable view = tables.view();
  ASSERT_EQ(view.cos.size(), (16u + 40u) * 4);
  const auto expect_row = [&](size_t row, int position, bool is_long) {
    for (size_t i = 0; i < 4; ++i) {
      const double divisor = static_cast<double>((is_long ? rope.long_factors : rope.factors)[i]);
      const double angle = position / (divisor * std::pow(10000.0, static_cast<double>(i) / 4));
      EXPECT_NEAR(view.cos[row * 4 + i], std::cos(angle) * std::sqrt(2.0), 1e-5) << row;
      EXPECT_NEAR(view.sin[row * 4 + i], std::sin(angle) * std::sqrt(2.0), 1e-5) << row;
    }
  };
  expect_row(15, 15, false);
  expect_row(16, 0, true);
  expect_row(16 + 39, 39, true);
  // A context that no sequence outgrows has one set.
  const RopeTables one(rope, 8, 16);
  EXPECT_EQ(one.long_row(), 0);
  EXPECT_EQ(one.view().cos.size(), 16u * 4);
}

TEST(RopeTables, TablesHoldCosAndSinOfTheFloatAngle) {
  RopeConfig rope = Yarn();
  const RopeTables tables(rope, 32, 100);
  const RopeFrequencies frequencies = ComputeRopeFrequencies(rope, 32);
  const RopeTable view = tables.view();
  EXPECT_EQ(view.rotary_dim, 32);
  ASSERT_EQ(view.cos.size(), 1600u);
  for (const int p : {0, 1, 57, 99}) {
    for (size_t i = 0; i < 16; ++i) {
      const double angle = static_cast<float>(p) * frequencies.inv_freq[i];
      EXPECT_NEAR(view.cos[static_cast<size_t>(p) * 16 + i], std::cos(angle) * 1.138629436, 2e-7);
      EXPECT_NEAR(view.sin[static_cast<size_t>(p) * 16 + i], std::sin(angle) * 1.138629436, 2e-7);
    }
  }
}

}  // namespace
}  // namespace bitrate
