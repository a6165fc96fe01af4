#include "server/cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitrate {
namespace {

TEST(Cost, MoneyIsRoundedHalfAwayFromZeroToOneNano) {
  EXPECT_EQ(ToMoney(0), (MoneyAmount{0, 0}));
  EXPECT_EQ(ToMoney(1.5), (MoneyAmount{1, 500'000'000}));
  EXPECT_EQ(ToMoney(0.0000000015), (MoneyAmount{0, 2}));
  EXPECT_EQ(ToMoney(-0.0000000015), (MoneyAmount{0, -2}));
  EXPECT_EQ(ToMoney(0.0000000004), (MoneyAmount{0, 0}));
  EXPECT_EQ(ToMoney(-2.25), (MoneyAmount{-2, -250'000'000}));
}

TEST(Cost, NanosCarryIntoUnits) {
  EXPECT_EQ(ToMoney(0.9999999999), (MoneyAmount{1, 0}));
  EXPECT_EQ(ToMoney(-0.9999999999), (MoneyAmount{-1, 0}));
}

TEST(Cost, WhatIsNoAmountIsBounded) {
  EXPECT_EQ(ToMoney(std::nan("")), (MoneyAmount{0, 0}));
  EXPECT_EQ(ToMoney(std::numeric_limits<double>::infinity()).units, 9'000'000'000'000'000'000);
  EXPECT_EQ(ToMoney(-1e300).units, -9'000'000'000'000'000'000);
}

TEST(Cost, MarginalIsCoreSecondsTimesPrice) {
  Prices prices;
  prices.currency = "USD";
  prices.core_hour = 3.6;  // 0.001 a core-second
  EXPECT_DOUBLE_EQ(MarginalCost(prices, 2.0), 0.002);
  EXPECT_EQ(MarginalCost(prices, -1.0), 0);
  EXPECT_EQ(MarginalCost(Prices{}, 100.0), 0);
}

TEST(Cost, MemoryIsGibSecondsTimesPriceTimesShare) {
  Prices prices;
  prices.gib_hour = 7.2;  // 0.002 a GiB-second
  EXPECT_DOUBLE_EQ(MemoryCost(prices, uint64_t{3} << 30, 10.0, 0.5), 0.03);
  EXPECT_EQ(MemoryCost(prices, uint64_t{3} << 30, 10.0, 0.0), 0);
}

// Sums are made before rounding: a thousand requests of 0.4 nano are 400 nanos, not zero.
TEST(Cost, SumsRoundOnce) {
  double sum = 0;
  for (int i = 0; i < 1000; ++i) sum += 0.4e-9;
  EXPECT_EQ(ToMoney(sum), (MoneyAmount{0, 400}));
}

}  // namespace
}  // namespace bitrate
