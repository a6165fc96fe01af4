#include "server/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "server/api_error.h"

namespace bitrate {
namespace {

const RoutableModel kModel{"m", "int8", {"fp32", "int8", "int4"}};

RoutingPolicy SplitPolicy(int int8_weight, int int4_weight, std::vector<std::string> fallback = {}) {
  return {{{"m", "exp", "salt", {{"control", "int8", int8_weight}, {"canary", "int4", int4_weight}}, fallback}}};
}

struct Case {
  std::string name;
  RoutingPolicy policy;
  std::set<std::string, std::less<>> ready;
  RouteQuery query;
  StatusCode code;
  std::string variant;
  std::string arm;
  RouteReason reason;
};

class PickRouteTable : public testing::TestWithParam<Case> {};

TEST_P(PickRouteTable, Decides) {
  const Case& c = GetParam();
  const auto decision = PickRoute(
      c.policy, kModel, [&](std::string_view v) { return c.ready.contains(v); }, c.query);
  ASSERT_EQ(decision.status().code(), c.code) << decision.status();
  if (!decision.ok()) return;
  EXPECT_EQ(decision->variant, c.variant);
  EXPECT_EQ(decision->arm, c.arm);
  EXPECT_EQ(decision->reason, c.reason);
  EXPECT_EQ(decision->experiment.empty(), c.arm.empty());
}

const std::set<std::string, std::less<>> kAll = {"fp32", "int8", "int4"};
constexpr StatusCode kOk = StatusCode::kOk;

INSTANTIATE_TEST_SUITE_P(
    Router, PickRouteTable,
    testing::Values(
        Case{"pin", {}, kAll, {.pinned_variant = "int4"}, kOk, "int4", "", RouteReason::kPin},
        Case{"pin_beats_rule",
             SplitPolicy(10000, 0),
             kAll,
             {.pinned_variant = "int4"},
             kOk,
             "int4",
             "",
             RouteReason::kPin},
        Case{"pin_unknown", {}, kAll, {.pinned_variant = "nf4"}, StatusCode::kNotFound, "", "", {}},
        // A pinned variant is honoured or refused, never replaced.
        Case{"pin_unready",
             SplitPolicy(10000, 0, {"int8"}),
             {"int8"},
             {.pinned_variant = "int4"},
             StatusCode::kUnavailable,
             "",
             "",
             {}},
        Case{"default", {}, kAll, {}, kOk, "int8", "", RouteReason::kDefault},
        Case{"default_unready", {}, {"int4"}, {}, StatusCode::kUnavailable, "", "", {}},
        Case{"weight_all_first",
             SplitPolicy(10000, 0),
             kAll,
             {.request_id = "r"},
             kOk,
             "int8",
             "control",
             RouteReason::kWeight},
        Case{"weight_all_second",
             SplitPolicy(0, 10000),
             kAll,
             {.request_id = "r"},
             kOk,
             "int4",
             "canary",
             RouteReason::kWeight},
        Case{"sticky", SplitPolicy(0, 10000), kAll, {.unit = "u"}, kOk, "int4", "canary", RouteReason::kSticky},
        Case{"fallback_first_ready",
             SplitPolicy(0, 10000, {"int8", "fp32"}),
             {"fp32"},
             {.unit = "u"},
             kOk,
             "fp32",
             "canary",
             RouteReason::kFallback},
        Case{"fallback_order",
             SplitPolicy(0, 10000, {"int8", "fp32"}),
             {"fp32", "int8"},
             {},
             kOk,
             "int8",
             "canary",
             RouteReason::kFallback},
        Case{"nothing_ready", SplitPolicy(0, 10000, {"int8"}), {}, {}, StatusCode::kUnavailable, "", "", {}},
        Case{"no_fallback", SplitPolicy(0, 10000), {"int8"}, {}, StatusCode::kUnavailable, "", "", {}},
        Case{"experiment_known",
             SplitPolicy(10000, 0),
             kAll,
             {.experiment = "exp"},
             kOk,
             "int8",
             "control",
             RouteReason::kWeight},
        Case{"experiment_unknown",
             SplitPolicy(10000, 0),
             kAll,
             {.experiment = "other"},
             StatusCode::kNotFound,
             "",
             "",
             {}},
        Case{"experiment_without_rule", {}, kAll, {.experiment = "exp"}, StatusCode::kNotFound, "", "", {}}),
    [](const auto& info) { return info.param.name; });

TEST(Router, UnreadyIsRetryableUnknownIsNot) {
  const auto none = [](std::string_view) { return false; };
  EXPECT_TRUE(GetDetail(PickRoute({}, kModel, none, {.pinned_variant = "int4"}).status()).retry_delay_ms.has_value());
  EXPECT_FALSE(GetDetail(PickRoute({}, kModel, none, {.pinned_variant = "nf4"}).status()).retry_delay_ms.has_value());
}

// A unit keeps its arm whatever the request, and other units spread by weight.
TEST(Router, StickyUnitsSpreadByWeight) {
  const RoutingPolicy policy = SplitPolicy(9000, 1000);
  const auto ready = [](std::string_view) { return true; };
  int canary = 0;
  constexpr int kUnits = 20000;
  for (int i = 0; i < kUnits; ++i) {
    const std::string unit = "user-" + std::to_string(i);
    const auto first = PickRoute(policy, kModel, ready, {.unit = unit, .request_id = "a"});
    const auto again = PickRoute(policy, kModel, ready, {.unit = unit, .request_id = "b"});
    ASSERT_TRUE(first.ok() && again.ok());
    ASSERT_EQ(first->variant, again->variant);
    canary += first->arm == "canary" ? 1 : 0;
  }
  // Binomial: mean 2000, standard deviation 42; five of them.
  EXPECT_NEAR(canary, kUnits / 10, 5 * std::sqrt(kUnits * 0.1 * 0.9));
}

TEST(Router, BucketsAreUniform) {
  std::map<int, int> counts;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) ++counts[RoutingBucket("s", std::to_string(i)) / 1000];
  double chi2 = 0;
  for (int b = 0; b < 10; ++b) chi2 += std::pow(counts[b] - kDraws / 10, 2) / (kDraws / 10);
  EXPECT_LT(chi2, 33.7);  // 9 degrees of freedom, p = 0.0001
}

// The mapping is part of the interface: a release may not move users between arms.
TEST(Router, BucketsAreFixed) {
  EXPECT_NE(RoutingBucket("ab", "c"), RoutingBucket("a", "bc"));
  EXPECT_EQ(RoutingBucket("", ""), RoutingBucket("", ""));
  int moved = 0;
  for (int i = 0; i < 1000; ++i) {
    moved += RoutingBucket("s1", std::to_string(i)) != RoutingBucket("s2", std::to_string(i)) ? 1 : 0;
  }
  EXPECT_GT(moved, 990);  // a new salt draws anew
}

TEST(Router, ValidationNamesEveryProblem) {
  RoutingPolicy policy = {{{"m", "", "", {{"", "int8", 5000}, {"x", "nf4", 4000}, {"x", "int4", -1}}, {"bf16"}},
                           {"m", "second", "", {{"", "int8", 10000}}, {}},
                           {"other", "e", "", {}, {}}}};
  std::multiset<std::string> fields;
  for (const PolicyProblem& problem : ValidatePolicy({kModel}, policy)) fields.insert(problem.field);
  const std::multiset<std::string> wanted = {
      "rules[0].experiment", "rules[0].arms[1].variant", "rules[0].arms[2].name", "rules[0].arms[2].weight",
      "rules[0].arms",       "rules[0].fallback[0]",     "rules[1].model",        "rules[2].model",
      "rules[2].arms"};
  EXPECT_EQ(fields, wanted);
}

TEST(Router, ValidationFillsDefaults) {
  RoutingPolicy policy = {{{"m", "exp", "", {{"", "int8", 10000}}, {}}}};
  EXPECT_TRUE(ValidatePolicy({kModel}, policy).empty());
  EXPECT_EQ(policy.rules[0].arms[0].name, "int8");
  EXPECT_EQ(policy.rules[0].salt, "exp");
}

TEST(Router, ArmLimit) {
  RoutingPolicy policy = {{{"m", "exp", "", {}, {}}}};
  for (int i = 0; i < 32; ++i) policy.rules[0].arms.push_back({"a" + std::to_string(i), "int8", i == 0 ? 10000 : 0});
  EXPECT_TRUE(ValidatePolicy({kModel}, policy).empty());
  policy.rules[0].arms.push_back({"one-more", "int8", 0});
  EXPECT_EQ(ValidatePolicy({kModel}, policy).size(), 1u);
}

}  // namespace
}  // namespace bitrate
