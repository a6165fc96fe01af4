#include "server/grpc/score_reactor.h"

#include "server/api_error.h"
#include "server/grpc/cancellable_unary.h"
#include "server/grpc/convert.h"
#include "server/scoring.h"

namespace bitrate {
namespace {

StatusOr<ScoreCallRequest> ReadRequest(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                       const v1::ScoreRequest& message, const CallInfo& call) {
  RETURN_IF_ERROR(CheckCredentials(env, context));
  ScoreCallRequest request;
  request.context = call.request;
  request.target = FromProto(message.model(), call.unit);
  if (message.has_top_n() && message.top_n() < 0) {
    return FieldError("top_n", fmt::format("got {}, wanted 0 to 20", message.top_n()));
  }
  if (message.has_top_n()) request.top_n = message.top_n();
  if (message.has_priority()) request.priority = message.priority();
  const auto ids = [](const v1::TokenIds& in) { return std::vector<int32_t>(in.ids().begin(), in.ids().end()); };
  for (const v1::ScoreItem& item : message.items()) {
    ScoreItemRequest to;
    if (item.has_context_text()) to.context = item.context_text();
    if (item.has_context_ids()) to.context = ids(item.context_ids());
    if (item.has_continuation_text()) to.continuation = item.continuation_text();
    if (item.has_continuation_ids()) to.continuation = ids(item.continuation_ids());
    request.items.push_back(std::move(to));
  }
  return request;
}

void FillResponse(const ScoreOutcome& outcome, const std::string& request_id, const Prices& prices,
                  v1::ScoreResponse* response) {
  response->set_request_id(request_id);
  ToProto(outcome.route, response->mutable_route());
  for (const ScoredItem& item : outcome.items) {
    v1::ScoreResult* result = response->add_results();
    result->set_sum_logprob(item.sum_logprob);
    result->set_is_greedy(item.is_greedy);
    result->set_context_tokens(item.context_tokens);
    for (const ScoredToken& token : item.tokens) ToProto(token, result->add_tokens());
  }
  ToProto(outcome.totals, response->mutable_usage());
  ToProto(outcome.totals, response->mutable_timing());
  ToProto(outcome.totals, prices, response->mutable_cost());
}

}  // namespace

grpc::ServerUnaryReactor* StartScoreCall(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                         const v1::ScoreRequest* request, v1::ScoreResponse* response) {
  CallInfo call = ReadCallInfo(env, context, "bitrate.v1.InferenceService", "Score", request->request_id());
  const std::string id = call.request.request_id;
  auto parsed = ReadRequest(env, context, *request, call);
  auto* reactor = new CancellableUnary(env, context, std::move(call));
  if (!parsed.ok()) {
    reactor->End(parsed.status());
    return reactor;
  }
  const Prices& prices = env.generation->context().prices;
  reactor->SetHandle(StartScore(env.generation, *std::move(parsed),
                                [reactor, response, id, &prices](const Status& status, const ScoreOutcome& outcome) {
                                  if (status.ok()) FillResponse(outcome, id, prices, response);
                                  reactor->End(status);
                                }));
  return reactor;
}

}  // namespace bitrate
