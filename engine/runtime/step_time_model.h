// How long a step takes, learned from the steps that were run:
//
//   seconds = step + prefill_token x prefill tokens + decode_token x decode tokens + attended_token x attended keys
//
// `step` is what every step pays: reading the weights, synchronising. A decode token pays for its row of the output
// head, too, and shares the weights with few others, so it is not the price of a prefill token. The scheduler sizes
// prefill chunks by it, the cost accounting weighs attention by it, and it is exported.
//
// Fit: least squares of the relative error with coefficients >= 0, newest steps first (each kind of step forgets apart:
// hours of decoding do not make it forget what a prefill costs). A step that took far longer than predicted was
// preempted, most likely, and counts as moderately longer only; when that goes on, the machine has become slower, and
// the model follows. Until there is data, weak beliefs stand in: a decode token costs as much as a prefill token,
// attention its share of the multiply-adds.
//
// Pure: no clock. Thread rule: engine thread.
// Source: chunked prefill by time budget, reference performance section 5.1.
#ifndef BITRATE_ENGINE_RUNTIME_STEP_TIME_MODEL_H_
#define BITRATE_ENGINE_RUNTIME_STEP_TIME_MODEL_H_

#include <array>
#include <cstdint>

namespace bitrate {

// What a step computes.
struct StepWork {
  double prefill_tokens = 0;
  double decode_tokens = 0;
  double attended = 0;  // sum over the tokens of the keys that each attends to, itself included
};

// Keys attended to by tokens at positions [first, first + count): position p sees p + 1 of them.
double AttendedKeys(int64_t first, int64_t count);

struct StepTimeCoefficients {  // seconds
  double step = 0;
  double prefill_token = 0;
  double decode_token = 0;
  double attended_token = 0;

  double Predict(const StepWork& work) const;
  // Time of one attended key over the time of one token's other work, in a step like `work`; 0 when nothing is known.
  double AttentionWeight(const StepWork& work) const;
};

class StepTimeModel {
 public:
  // `attention_weight`: of the multiply-adds (StepModelInfo).
  explicit StepTimeModel(double attention_weight);

  // A step of `work` took `seconds`. Ignored: no tokens, or a time that is not positive and finite.
  void Observe(const StepWork& work, double seconds);

  // All zero before the first step.
  const StepTimeCoefficients& coefficients() const { return coefficients_; }

 private:
  static constexpr int kSize = 4;
  using Vector = std::array<double, kSize>;
  // Normal equations: sum of x x^T and of x, where x = features / seconds and the target is 1.
  struct Sums {
    std::array<Vector, kSize> xx{};
    Vector x{};
    void Add(const Vector& row, double target);
    void Scale(double factor);
  };
  enum Kind { kPrefill, kDecode, kMixed, kNumKinds };
  struct History {
    Sums sums;
    bool seen = false;    // the first step of a kind is taken as it is
    double spread = 1.0;  // of the relative error; large at first, so that little is cut
  };

  void Believe(double seconds_per_token);
  void Solve();

  const double attention_weight_;
  bool seeded_ = false;
  Sums beliefs_;
  std::array<History, kNumKinds> histories_;
  StepTimeCoefficients coefficients_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_STEP_TIME_MODEL_H_
