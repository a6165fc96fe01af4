#include "server/router.h"

#include <algorithm>
#include <set>

#include "engine/base/limits.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

// FNV-1a spreads short keys badly over a small modulus; the finisher (of MurmurHash3) mixes all bits into all bits.
uint64_t Mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  h ^= h >> 33;
  return h;
}

uint64_t Fnv1a(std::string_view text, uint64_t h) {
  for (const char c : text) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3ULL;
  }
  return h;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const RoutingRule* FindRule(const RoutingPolicy& policy, std::string_view model) {
  for (const RoutingRule& rule : policy.rules) {
    if (rule.model == model) return &rule;
  }
  return nullptr;
}

void ValidateArms(const RoutableModel* model, const std::string& path, RoutingRule& rule,
                  std::vector<PolicyProblem>& problems) {
  if (rule.arms.empty()) problems.push_back({path + ".arms", "got none, wanted at least one"});
  if (rule.arms.size() > static_cast<size_t>(limits::kMaxRoutingArms)) {
    problems.push_back(
        {path + ".arms", fmt::format("got {}, wanted at most {}", rule.arms.size(), limits::kMaxRoutingArms)});
  }
  int64_t sum = 0;
  std::set<std::string> names;
  for (size_t i = 0; i < rule.arms.size(); ++i) {
    RoutingArm& arm = rule.arms[i];
    const std::string arm_path = fmt::format("{}.arms[{}]", path, i);
    if (arm.name.empty()) arm.name = arm.variant;
    if (arm.name.size() > limits::kMaxIdBytes) problems.push_back({arm_path + ".name", "longer than 256 bytes"});
    if (!names.insert(arm.name).second) {
      problems.push_back({arm_path + ".name", fmt::format("\"{}\" is the name of an earlier arm", arm.name)});
    }
    if (model != nullptr && !Contains(model->variants, arm.variant)) {
      problems.push_back(
          {arm_path + ".variant", fmt::format("model \"{}\" has no variant \"{}\"", model->name, arm.variant)});
    }
    if (arm.weight < 0 || arm.weight > kBasisPoints) {
      problems.push_back({arm_path + ".weight", fmt::format("got {}, wanted 0 to {}", arm.weight, kBasisPoints)});
    }
    sum += arm.weight;
  }
  if (!rule.arms.empty() && sum != kBasisPoints) {
    problems.push_back({path + ".arms", fmt::format("weights add up to {}, wanted {}", sum, kBasisPoints)});
  }
}

}  // namespace

std::vector<PolicyProblem> ValidatePolicy(const std::vector<RoutableModel>& models, RoutingPolicy& policy) {
  std::vector<PolicyProblem> problems;
  std::set<std::string> seen;
  for (size_t r = 0; r < policy.rules.size(); ++r) {
    RoutingRule& rule = policy.rules[r];
    const std::string path = fmt::format("rules[{}]", r);
    const auto model =
        std::find_if(models.begin(), models.end(), [&](const RoutableModel& m) { return m.name == rule.model; });
    const RoutableModel* known = model == models.end() ? nullptr : &*model;
    if (known == nullptr) problems.push_back({path + ".model", fmt::format("there is no model \"{}\"", rule.model)});
    if (!seen.insert(rule.model).second) {
      problems.push_back({path + ".model", fmt::format("\"{}\" has an earlier rule", rule.model)});
    }
    if (rule.experiment.empty()) problems.push_back({path + ".experiment", "got nothing, wanted a name"});
    if (rule.experiment.size() > limits::kMaxIdBytes)
      problems.push_back({path + ".experiment", "longer than 256 bytes"});
    if (rule.salt.empty()) rule.salt = rule.experiment;
    if (rule.salt.size() > limits::kMaxIdBytes) problems.push_back({path + ".salt", "longer than 256 bytes"});
    ValidateArms(known, path, rule, problems);
    if (rule.fallback.size() > static_cast<size_t>(limits::kMaxVariants)) {
      problems.push_back(
          {path + ".fallback", fmt::format("got {}, wanted at most {}", rule.fallback.size(), limits::kMaxVariants)});
    }
    for (size_t i = 0; known != nullptr && i < rule.fallback.size(); ++i) {
      if (Contains(known->variants, rule.fallback[i])) continue;
      problems.push_back({fmt::format("{}.fallback[{}]", path, i),
                          fmt::format("model \"{}\" has no variant \"{}\"", known->name, rule.fallback[i])});
    }
  }
  return problems;
}

int RoutingBucket(std::string_view salt, std::string_view key) {
  uint64_t h = Fnv1a(salt, 0xcbf29ce484222325ULL);
  h = Fnv1a(std::string_view("\0", 1), h);  // ("ab", "c") and ("a", "bc") differ
  h = Fnv1a(key, h);
  return static_cast<int>(Mix(h) % kBasisPoints);
}

StatusOr<RouteDecision> PickRoute(const RoutingPolicy& policy, const RoutableModel& model,
                                  const std::function<bool(std::string_view variant)>& ready, const RouteQuery& query) {
  if (!query.pinned_variant.empty()) {
    if (!Contains(model.variants, query.pinned_variant)) return UnknownVariantError(model.name, query.pinned_variant);
    if (!ready(query.pinned_variant)) return VariantNotReadyError(model.name, query.pinned_variant);
    return RouteDecision{std::string(query.pinned_variant), "", "", RouteReason::kPin};
  }
  const RoutingRule* rule = FindRule(policy, model.name);
  if (!query.experiment.empty() && (rule == nullptr || rule->experiment != query.experiment)) {
    return UnknownExperimentError(model.name, query.experiment);
  }
  if (rule == nullptr) {
    if (!ready(model.default_variant)) return VariantNotReadyError(model.name, model.default_variant);
    return RouteDecision{model.default_variant, "", "", RouteReason::kDefault};
  }
  const bool sticky = !query.unit.empty();
  const int bucket = RoutingBucket(rule->salt, sticky ? query.unit : query.request_id);
  int edge = 0;
  const RoutingArm* chosen = nullptr;
  for (const RoutingArm& arm : rule->arms) {
    edge += arm.weight;
    if (bucket >= edge) continue;
    chosen = &arm;
    break;
  }
  if (chosen == nullptr)
    return Internal("routing: weights of experiment \"{}\" do not cover a request", rule->experiment);
  RouteDecision decision{chosen->variant, rule->experiment, chosen->name,
                         sticky ? RouteReason::kSticky : RouteReason::kWeight};
  if (ready(decision.variant)) return decision;
  for (const std::string& variant : rule->fallback) {
    if (!ready(variant)) continue;
    // The arm stays the one that was drawn: an analysis by arm sees who was meant to be served by it.
    decision.variant = variant;
    decision.reason = RouteReason::kFallback;
    return decision;
  }
  return VariantNotReadyError(model.name, chosen->variant);
}

}  // namespace bitrate
