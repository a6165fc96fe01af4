// Splits the device-seconds of a step over its sequences (DESIGN promise 5, ecosystem 3.4).
//
// Weight of an entry: w = kPrefillWeight x prefill tokens + kDecodeWeight x decode tokens
//                       + attention_weight x cached tokens attended to.
// attention_weight is the time of one attended key over the time of one token's other work, as the step-time model has
// learned it (StepTimeCoefficients::AttentionWeight), so that a long context pays for what it reads. A decode token
// costs as much as a prefill token: both are one row of every matmul, and reading the weights is shared by all rows of
// the step. Recomputed tokens are wasted, not charged. Sum of charges + wasted = device_seconds, to floating-point
// rounding.
#ifndef BITRATE_ENGINE_RUNTIME_STEP_COST_H_
#define BITRATE_ENGINE_RUNTIME_STEP_COST_H_

#include <vector>

#include "engine/runtime/scheduler.h"

namespace bitrate {

inline constexpr double kPrefillWeight = 1.0;
inline constexpr double kDecodeWeight = 1.0;

struct EntryCost {
  double prefill = 0;
  double decode = 0;
  double wasted = 0;
};

// costs[i] is of plan.entries[i]. A plan without entries charges nobody: the caller books the step as wasted.
void SplitStepCost(const StepPlan& plan, double device_seconds, double attention_weight, std::vector<EntryCost>* costs);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_STEP_COST_H_
