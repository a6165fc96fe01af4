// Log-probabilities of given continuations (DESIGN section 10: text is split as lm-eval does).
// Thread rule and errors as in generation.h.
#ifndef BITRATE_SERVER_SCORING_H_
#define BITRATE_SERVER_SCORING_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/generation.h"

namespace bitrate {

// Text or ids; monostate = not given.
using ScorePart = std::variant<std::monostate, std::string, std::vector<int32_t>>;

struct ScoreItemRequest {
  ScorePart context;       // empty = the end-of-sequence token
  ScorePart continuation;  // not empty
};

struct ScoreCallRequest {
  RequestContext context;
  RequestTarget target;
  std::vector<ScoreItemRequest> items;
  int top_n = -1;  // -1 = none
  int64_t priority = 1;
};

struct ScoredItem {
  double sum_logprob = 0;
  bool is_greedy = true;
  std::vector<ScoredToken> tokens;
  int context_tokens = 0;
};

struct ScoreOutcome {
  RouteInfo route;
  std::vector<ScoredItem> items;
  RequestTotals totals;
};

// `done` exactly once.
std::shared_ptr<CallHandle> StartScore(GenerationService* service, ScoreCallRequest request,
                                       std::function<void(const Status&, const ScoreOutcome&)> done);

// The ids of one item: whole = context + continuation. `index` names the item in errors.
struct ScoreTokens {
  std::vector<int32_t> ids;
  int context_tokens = 0;
};
StatusOr<ScoreTokens> SplitScoreItem(const ModelResources& model, const ScoreItemRequest& item, size_t index);

}  // namespace bitrate

#endif  // BITRATE_SERVER_SCORING_H_
