#include "engine/runtime/step_cost.h"

namespace bitrate {
void SplitStepCost(const StepPlan& plan, double device_seconds, double attention_weight,
                   std::vector<EntryCost>* costs) {
  costs->clear();
  double total = 0;
  for (const PlanEntry& entry : plan.entries) {
    const int64_t fresh_first = entry.first + entry.num_recomputed;
    const int64_t fresh = entry.num_tokens - entry.num_recomputed;
    // Tokens behind the prompt that were never computed before are decode work, also at the end of a recomputation.
    const int64_t prompt_left = entry.sequence->num_prompt() - fresh_first;
    const int64_t prefill = prompt_left <= 0 ? 0 : (prompt_left < fresh ? prompt_left : fresh);
    EntryCost cost;
    cost.wasted =
        kPrefillWeight * entry.num_recomputed + attention_weight * AttendedKeys(entry.first, entry.num_recomputed);
    cost.prefill =
        kPrefillWeight * static_cast<double>(prefill) + attention_weight * AttendedKeys(fresh_first, prefill);
    cost.decode = kDecodeWeight * static_cast<double>(fresh - prefill) +
                  attention_weight * AttendedKeys(fresh_first + prefill, fresh - prefill);
    total += cost.wasted + cost.prefill + cost.decode;
    costs->push_back(cost);
  }
  const double scale = total > 0 ? device_seconds / total : 0;
  for (EntryCost& cost : *costs) {
    cost.prefill *= scale;
    cost.decode *= scale;
    cost.wasted *= scale;
  }
}

}  // namespace bitrate
