#include "server/grpc/compare_reactor.h"

#include "google/rpc/status.pb.h"
#include "server/api_error.h"
#include "server/comparison.h"
#include "server/grpc/call_info.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/stream_buffer.h"
#include "server/settings.h"

namespace bitrate {
namespace {

using Buffer = StreamBuffer<v1::CompareResponse>;

class Listener final : public CompareListener {
 public:
  Listener(const ServiceEnv& env, CallInfo call, std::shared_ptr<Buffer> buffer)
      : env_(env), call_(std::move(call)), buffer_(std::move(buffer)) {}

  void OnStart(const CompareStart& start) override {
    v1::CompareResponse response;
    v1::CompareStarted* started = response.mutable_started();
    started->set_request_id(call_.request.request_id);
    started->set_model(start.model);
    started->set_reference_variant(start.reference);
    for (const std::string& variant : start.variants) started->add_variants(variant);
    started->set_prompt_tokens(start.prompt_tokens);
    num_variants_ = static_cast<int>(start.variants.size());
    buffer_->Push(std::move(response));
  }

  void OnResult(const CompareVariantResult& in) override {
    v1::CompareResponse response;
    v1::CompareResult* result = response.mutable_result();
    result->set_variant(in.variant);
    result->set_precision(in.precision);
    result->set_is_reference(in.is_reference);
    if (!in.error.ok()) {
      *result->mutable_error() = ToRpcStatus(in.error, call_.request.request_id);
    } else {
      result->set_text(in.text);
      for (const int32_t id : in.token_ids) result->add_token_ids(id);
      result->set_finish_reason(ToProto(in.finish));
      if (in.first_divergence) result->set_first_divergence(*in.first_divergence);
      result->set_top1_agreement(in.top1_agreement);
      result->set_mean_logprob_gap(in.mean_logprob_gap);
      result->set_max_abs_logprob_gap(in.max_abs_logprob_gap);
      ToProto(in.totals, result->mutable_usage());
      ToProto(in.totals, result->mutable_timing());
      ToProto(in.totals, env_.generation->context().prices, result->mutable_cost());
    }
    buffer_->Push(std::move(response));
  }

  void OnEnd(const Status& status, int num_failed, const RequestTotals& totals) override {
    if (status.ok()) {
      v1::CompareResponse response;
      v1::CompareSummary* summary = response.mutable_summary();
      summary->set_num_compared(num_variants_ - num_failed);
      summary->set_num_failed(num_failed);
      ToProto(totals, env_.generation->context().prices, summary->mutable_total_cost());
      buffer_->Push(std::move(response));
    }
    CountCall(env_, call_, status);
    buffer_->End(status);
  }

 private:
  const ServiceEnv& env_;
  const CallInfo call_;
  const std::shared_ptr<Buffer> buffer_;
  int num_variants_ = 0;
};

StatusOr<CompareCallRequest> ReadRequest(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                         const v1::CompareRequest& message, const CallInfo& call) {
  RETURN_IF_ERROR(CheckCredentials(env, context));
  CompareCallRequest request;
  request.context = call.request;
  request.model = message.model();
  if (request.model.find(':') != std::string::npos) {
    return FieldError("model", "got a pinned variant, wanted a model: name variants in `variants`");
  }
  if (message.has_text()) request.prompt = message.text();
  if (message.has_token_ids()) {
    request.prompt = std::vector<int32_t>(message.token_ids().ids().begin(), message.token_ids().ids().end());
  }
  if (message.has_chat()) {
    ASSIGN_OR_RETURN(request.prompt, FromProto(message.chat()));
  }
  request.variants.assign(message.variants().begin(), message.variants().end());
  request.reference_variant = message.reference_variant();
  if (message.has_max_tokens()) request.max_tokens = message.max_tokens();
  if (message.has_add_special_tokens()) request.add_special_tokens = message.add_special_tokens();
  request.ignore_eos = message.ignore_eos();
  return request;
}

}  // namespace

grpc::ServerWriteReactor<v1::CompareResponse>* StartCompareCall(const ServiceEnv& env,
                                                                grpc::CallbackServerContext* context,
                                                                const v1::CompareRequest* request) {
  CallInfo call = ReadCallInfo(env, context, "bitrate.v1.InferenceService", "Compare", request->request_id());
  auto buffer = Buffer::Make(
      env.settings->limits.max_stream_buffer_bytes, nullptr,
      [context, id = call.request.request_id](const Status& status) { return ToGrpcStatus(status, id, context); });
  Buffer* const reactor = buffer.get();
  auto parsed = ReadRequest(env, context, *request, call);
  if (!parsed.ok()) {
    CountCall(env, call, parsed.status());
    buffer->End(parsed.status());
    return reactor;
  }
  auto listener = std::make_shared<Listener>(env, std::move(call), buffer);
  std::shared_ptr<CallHandle> handle = StartCompare(env.generation, *std::move(parsed), std::move(listener));
  buffer->SetStop([handle](const Status& why) { handle->Cancel(why); });
  return reactor;
}

}  // namespace bitrate
