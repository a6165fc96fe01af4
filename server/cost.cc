#include "server/cost.h"

#include <algorithm>
#include <cmath>

namespace bitrate {
namespace {

constexpr double kSecondsPerHour = 3600.0;
constexpr double kBytesPerGib = 1024.0 * 1024.0 * 1024.0;
constexpr double kMaxUnits = 9e18;  // below 2^63, so that the cast is defined

}  // namespace

MoneyAmount ToMoney(double amount) {
  if (std::isnan(amount)) return {};
  amount = std::clamp(amount, -kMaxUnits, kMaxUnits);
  const double whole = std::trunc(amount);
  MoneyAmount money;
  money.units = static_cast<int64_t>(whole);
  // std::round is half away from zero.
  auto nanos = static_cast<int64_t>(std::round((amount - whole) * 1e9));
  if (nanos >= 1'000'000'000 || nanos <= -1'000'000'000) {
    money.units += nanos > 0 ? 1 : -1;
    nanos = 0;
  }
  money.nanos = static_cast<int32_t>(nanos);
  return money;
}

double MarginalCost(const Prices& prices, double device_seconds) {
  return std::max(device_seconds, 0.0) * prices.core_hour / kSecondsPerHour;
}

double MemoryCost(const Prices& prices, uint64_t resident_bytes, double seconds, double share) {
  const double gib = static_cast<double>(resident_bytes) / kBytesPerGib;
  return gib * std::max(seconds, 0.0) * prices.gib_hour / kSecondsPerHour * std::clamp(share, 0.0, 1.0);
}

}  // namespace bitrate
