// Prices -> what a request costs. Pure.
//
// Device-seconds are wall time of engine steps x workers, so on the CPU one device-second is one core for one second.
// Marginal cost = device-seconds x core_hour / 3600. Fully loaded adds the memory that the variant keeps resident:
// bytes x seconds x gib_hour / 3600, a request paying for the time it ran, split evenly over the sequences running
// beside it. Amounts are rounded once, half away from zero, to one nano (1e-9) of the currency; sums are made before
// rounding.
#ifndef BITRATE_SERVER_COST_H_
#define BITRATE_SERVER_COST_H_

#include <cstdint>
#include <string>

namespace bitrate {

struct Prices {
  std::string currency;  // empty: no prices, every amount is zero
  double core_hour = 0;  // one busy core for an hour; >= 0
  double gib_hour = 0;   // one GiB resident for an hour; >= 0; 0 = memory is not priced
  std::string pricing_version;
};

// units + nanos / 1e9, both of one sign, |nanos| < 1e9.
struct MoneyAmount {
  int64_t units = 0;
  int32_t nanos = 0;
  friend bool operator==(const MoneyAmount&, const MoneyAmount&) = default;
};

// Rounds half away from zero to one nano. Not finite or beyond +-9e18 units: clamped, NaN gives zero.
MoneyAmount ToMoney(double amount);

double MarginalCost(const Prices& prices, double device_seconds);

// `share`: this request's part of the sequences running, (0, 1].
double MemoryCost(const Prices& prices, uint64_t resident_bytes, double seconds, double share);

}  // namespace bitrate

#endif  // BITRATE_SERVER_COST_H_
