// Which variant serves a request. Pure: a function of the policy, what is ready, and the request's keys.
//
// Pinned: that variant or an error. Else the model's rule: arm = hash(salt, key) mod 10000 in the arms' order, where
// the key is the sticky unit, or the request id when there is none; if the arm's variant is not ready, the first ready
// one of the fallback order. No rule: the model's default variant. The hash is the first 8 bytes of a fixed 64-bit mix
// of FNV-1a, so that a unit keeps its arm across restarts, machines and versions.
//
// Errors: NOT_FOUND (unknown variant or experiment), UNAVAILABLE (nothing ready).
#ifndef BITRATE_SERVER_ROUTER_H_
#define BITRATE_SERVER_ROUTER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "server/telemetry.h"

namespace bitrate {

inline constexpr int kBasisPoints = 10000;

struct RoutingArm {
  std::string name;  // never empty once validated
  std::string variant;
  int weight = 0;  // basis points
  friend bool operator==(const RoutingArm&, const RoutingArm&) = default;
};

struct RoutingRule {
  std::string model;
  std::string experiment;
  std::string salt;
  std::vector<RoutingArm> arms;       // weights add up to kBasisPoints
  std::vector<std::string> fallback;  // variants
  friend bool operator==(const RoutingRule&, const RoutingRule&) = default;
};

struct RoutingPolicy {
  std::vector<RoutingRule> rules;  // at most one per model
  friend bool operator==(const RoutingPolicy&, const RoutingPolicy&) = default;
};

// What the router knows of a model.
struct RoutableModel {
  std::string name;
  std::string default_variant;
  std::vector<std::string> variants;  // every known one, ready or not
};

struct RouteQuery {
  std::string_view pinned_variant;  // empty = routed
  std::string_view experiment;      // empty = any
  std::string_view unit;            // sticky key; empty = none
  std::string_view request_id;
};

struct RouteDecision {
  std::string variant;
  std::string experiment;  // empty when no rule took part
  std::string arm;
  RouteReason reason = RouteReason::kDefault;
};

// A field of a policy that is wrong, e.g. {"rules[0].arms", "weights add up to 9000, wanted 10000"}.
struct PolicyProblem {
  std::string field;
  std::string description;
};

// Fills in defaults (arm name, salt) and returns everything that is wrong: unknown model or variant, two rules of a
// model, weights, limits. Empty = good.
std::vector<PolicyProblem> ValidatePolicy(const std::vector<RoutableModel>& models, RoutingPolicy& policy);

// hash(salt, key) mod 10000.
int RoutingBucket(std::string_view salt, std::string_view key);

StatusOr<RouteDecision> PickRoute(const RoutingPolicy& policy, const RoutableModel& model,
                                  const std::function<bool(std::string_view variant)>& ready, const RouteQuery& query);

}  // namespace bitrate

#endif  // BITRATE_SERVER_ROUTER_H_
