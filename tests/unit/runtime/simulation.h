// Random life in an engine on a virtual clock: submit, step, cancel, expire, stall, fail, drain. After every operation
// the invariants of the engine are checked (blocks, states, events, costs, progress, isolation), and at the end every
// answer is compared with what its prompt yields alone.
//
// The operations come from a stream of small numbers, so that a seeded generator (the simulation test) and bytes of a
// fuzzer drive the same code.
#ifndef BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_H_
#define BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace bitrate {

class OpSource {
 public:
  virtual ~OpSource() = default;
  // A number in [0, bound). bound > 0.
  virtual uint32_t Next(uint32_t bound) = 0;
  virtual bool exhausted() const { return false; }
};

class SeededOps final : public OpSource {
 public:
  explicit SeededOps(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  uint32_t Next(uint32_t bound) override;

 private:
  uint64_t state_;
};

// Runs out of bytes: zeros from there on.
class ByteOps final : public OpSource {
 public:
  explicit ByteOps(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t Next(uint32_t bound) override;
  bool exhausted() const override { return position_ >= bytes_.size(); }

 private:
  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
};

// Bugs to prove that the net has no hole.
enum class Plant { kNone, kSkipFree, kSkipEveryFree };

struct SimulationStats {
  int64_t steps = 0;
  int64_t time_limited = 0;  // whose prefill the time budget cut
  int64_t sequences = 0;
  int64_t tokens = 0;
  int64_t preemptions = 0;
  int64_t cached_tokens = 0;
  int64_t recomputed_tokens = 0;
  int64_t outgrown = 0;  // sequences that crossed the model's rope_switch
  int64_t cancelled = 0, expired = 0, failed = 0, finished = 0;
};

// One schedule. Empty when nothing was violated, otherwise what was.
std::string RunSchedule(OpSource& ops, Plant plant, SimulationStats* stats);

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_RUNTIME_SIMULATION_H_
