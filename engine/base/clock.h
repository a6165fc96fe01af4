// Time as an injected dependency, so that schedulers, deadlines and metrics can be tested without sleeping.
#ifndef BITRATE_ENGINE_BASE_CLOCK_H_
#define BITRATE_ENGINE_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace bitrate {

// Monotonic time. All durations in the engine are measured on it.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;
inline constexpr TimePoint kNoDeadline = TimePoint::max();

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
  static const Clock* System();  // steady_clock; never null, never deleted
};

inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

class SystemClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

inline const Clock* Clock::System() {
  static const SystemClock clock;
  return &clock;
}

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_CLOCK_H_
