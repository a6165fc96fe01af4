#include "engine/runtime/step_time_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace bitrate {
namespace {

constexpr double kForget = 0.97;        // a kind of step is remembered for about 30 of them
constexpr double kSpreadRate = 0.1;     // the spread follows the last 10
constexpr double kMinCut = 0.3;         // a relative error below this is never cut
constexpr double kCutSpreads = 4.0;     // nor one of up to this many spreads
constexpr double kBeliefWeight = 0.05;  // of a step: data wins soon

// Solves the symmetric positive definite system a x = b over the variables in `free`; others are 0. False when it is
// singular.
template <typename Matrix, typename Vector>
bool SolveSubset(Matrix a, Vector b, unsigned free, Vector* x) {
  constexpr int n = 4;
  for (int i = 0; i < n; ++i) {
    if (free >> i & 1) continue;
    for (int j = 0; j < n; ++j) a[i][j] = a[j][i] = 0;
    a[i][i] = 1;
    b[i] = 0;
  }
  for (int i = 0; i < n; ++i) {
    if (!(a[i][i] > 0)) return false;
    for (int r = i + 1; r < n; ++r) {
      const double factor = a[r][i] / a[i][i];
      for (int c = i; c < n; ++c) a[r][c] -= factor * a[i][c];
      b[r] -= factor * b[i];
    }
  }
  for (int i = n - 1; i >= 0; --i) {
    for (int c = i + 1; c < n; ++c) b[i] -= a[i][c] * (*x)[c];
    (*x)[i] = b[i] / a[i][i];
    if (!std::isfinite((*x)[i])) return false;
  }
  return true;
}

}  // namespace

double AttendedKeys(int64_t first, int64_t count) {
  return static_cast<double>(count) * static_cast<double>(first + 1) +
         0.5 * static_cast<double>(count) * static_cast<double>(count - 1);
}

double StepTimeCoefficients::Predict(const StepWork& work) const {
  return step + prefill_token * work.prefill_tokens + decode_token * work.decode_tokens +
         attended_token * work.attended;
}

double StepTimeCoefficients::AttentionWeight(const StepWork& work) const {
  const double tokens = work.prefill_tokens + work.decode_tokens;
  const double others = Predict(work) - attended_token * work.attended;
  return others > 0 ? attended_token * tokens / others : 0;
}

StepTimeModel::StepTimeModel(double attention_weight) : attention_weight_(attention_weight) {}

void StepTimeModel::Sums::Add(const Vector& row, double target) {
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; ++j) xx[i][j] += row[i] * row[j];
    x[i] += row[i] * target;
  }
}

void StepTimeModel::Sums::Scale(double factor) {
  for (int i = 0; i < kSize; ++i) {
    for (double& value : xx[i]) value *= factor;
    x[i] *= factor;
  }
}

void StepTimeModel::Observe(const StepWork& work, double seconds) {
  const double tokens = work.prefill_tokens + work.decode_tokens;
  if (!(tokens > 0) || !(seconds > 0) || !std::isfinite(seconds)) return;
  if (!seeded_) Believe(seconds / tokens);
  History& history = histories_[work.decode_tokens == 0 ? kPrefill : work.prefill_tokens == 0 ? kDecode : kMixed];
  const double predicted = coefficients_.Predict(work);
  if (std::exchange(history.seen, true) && predicted > 0) {
    const double cut = std::max(kMinCut, kCutSpreads * history.spread);
    const double error = std::clamp(seconds / predicted - 1, -cut / (1 + cut), cut);
    seconds = predicted * (1 + error);
    history.spread += kSpreadRate * (std::abs(error) - history.spread);
  }
  history.sums.Scale(kForget);
  const double inverse = 1 / seconds;
  history.sums.Add({inverse, work.prefill_tokens * inverse, work.decode_tokens * inverse, work.attended * inverse}, 1);
  Solve();
}

// Makes the fit determined before the data does, each belief in units of a token's time.
void StepTimeModel::Believe(double seconds_per_token) {
  seeded_ = true;
  const double unit = std::sqrt(kBeliefWeight) / seconds_per_token;
  beliefs_.Add({unit / 256, 0, 0, 0}, 0);  // what is not known to be a step's is a token's
  beliefs_.Add({0, -unit, unit, 0}, 0);
  // Without a ratio: attention is cheap, in units of a thousandth of a token.
  if (attention_weight_ > 0) {
    beliefs_.Add({0, -unit, 0, unit / attention_weight_}, 0);
  } else {
    beliefs_.Add({0, 0, 0, unit * 1e3}, 0);
  }
}

// Least squares over coefficients >= 0: the best of the solutions in which a subset of them is free and the others are
// zero. All free is nearly always that one.
void StepTimeModel::Solve() {
  Sums total = beliefs_;
  for (const History& history : histories_) {
    for (int i = 0; i < kSize; ++i) {
      for (int j = 0; j < kSize; ++j) total.xx[i][j] += history.sums.xx[i][j];
      total.x[i] += history.sums.x[i];
    }
  }
  constexpr unsigned kAll = (1u << kSize) - 1;
  double best_error = 0;  // up to a constant; that of no free coefficient
  for (unsigned free = kAll; free > 0; --free) {
    Vector x{};
    if (!SolveSubset(total.xx, total.x, free, &x) || *std::min_element(x.begin(), x.end()) < 0) continue;
    double error = 0;
    for (int i = 0; i < kSize; ++i) {
      error -= 2 * total.x[i] * x[i];
      for (int j = 0; j < kSize; ++j) error += x[i] * total.xx[i][j] * x[j];
    }
    if (error >= best_error) continue;
    best_error = error;
    coefficients_ = {x[0], x[1], x[2], x[3]};
    if (free == kAll) return;
  }
}

}  // namespace bitrate
