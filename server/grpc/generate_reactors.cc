#include "server/grpc/generate_reactors.h"

#include <map>

#include "server/generation.h"
#include "server/grpc/call_info.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/stream_buffer.h"
#include "server/settings.h"

namespace bitrate {
namespace {

constexpr std::string_view kService = "bitrate.v1.InferenceService";

using StreamResponse = v1::GenerateStreamResponse;
using Buffer = StreamBuffer<StreamResponse>;

// Deltas of one choice that wait together leave as one.
bool MergeDeltas(StreamResponse* last, const StreamResponse& next) {
  if (!last->has_delta() || !next.has_delta() || last->delta().index() != next.delta().index()) return false;
  v1::StreamDelta* to = last->mutable_delta();
  const v1::StreamDelta& from = next.delta();
  to->mutable_text()->append(from.text());
  to->mutable_token_ids()->MergeFrom(from.token_ids());
  to->mutable_logprobs()->MergeFrom(from.logprobs());
  to->mutable_prompt_logprobs()->MergeFrom(from.prompt_logprobs());
  to->set_completion_tokens(from.completion_tokens());
  return true;
}

template <typename Request>
StatusOr<GenerationRequest> ReadRequest(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                        const Request& message, const CallInfo& call) {
  RETURN_IF_ERROR(CheckCredentials(env, context));
  GenerationRequest request;
  RETURN_IF_ERROR(FromProto(message, &request));
  request.context = call.request;
  request.target = FromProto(message.model(), call.unit);
  return request;
}

// A call that ended before it was a request.
void ReportRefused(const ServiceEnv& env, const CallInfo& call, const Status& status) {
  RequestTotals totals;
  totals.total_seconds = ToSeconds(env.generation->context().clock->Now() - call.request.arrival);
  ReportCall(env.generation->context(), call.request, nullptr, status, totals, nullptr);
  CountCall(env, call, status);
}

class StreamListener final : public GenerationListener {
 public:
  StreamListener(const ServiceEnv& env, CallInfo call, std::shared_ptr<Buffer> buffer)
      : env_(env), call_(std::move(call)), buffer_(std::move(buffer)) {}

  void OnStarted(const GenerationStarted& started) override {
    StreamResponse response;
    ToProto(started, response.mutable_started());
    buffer_->Push(std::move(response));
  }
  void OnDelta(GenerationDelta delta) override {
    StreamResponse response;
    ToProto(std::move(delta), response.mutable_delta());
    buffer_->Push(std::move(response));
  }
  void OnFinished(const ChoiceFinished& finished) override {
    StreamResponse response;
    response.mutable_finished()->set_index(finished.index);
    response.mutable_finished()->set_finish_reason(ToProto(finished.reason));
    response.mutable_finished()->set_matched_stop(finished.matched_stop);
    buffer_->Push(std::move(response));
  }
  void OnEnd(const Status& status, const RequestTotals& totals) override {
    if (status.ok()) {
      StreamResponse response;
      v1::StreamSummary* summary = response.mutable_summary();
      ToProto(totals, summary->mutable_usage());
      ToProto(totals, summary->mutable_timing());
      ToProto(totals, env_.generation->context().prices, summary->mutable_cost());
      buffer_->Push(std::move(response));
    }
    CountCall(env_, call_, status);
    buffer_->End(status);
  }

 private:
  const ServiceEnv& env_;
  const CallInfo call_;
  const std::shared_ptr<Buffer> buffer_;
};

// Gathers the events into the one response. Held by the generation and, until OnDone, by itself.
class UnaryGenerate final : public grpc::ServerUnaryReactor, public GenerationListener {
 public:
  UnaryGenerate(const ServiceEnv& env, grpc::CallbackServerContext* context, CallInfo call,
                v1::GenerateResponse* response)
      : env_(env), context_(context), call_(std::move(call)), response_(response) {}

  static UnaryGenerate* Start(std::shared_ptr<UnaryGenerate> self, StatusOr<GenerationRequest> request) {
    UnaryGenerate* const reactor = self.get();
    {
      MutexLock lock(&reactor->mutex_);
      reactor->self_ = self;
    }
    if (!request.ok()) {
      ReportRefused(reactor->env_, reactor->call_, request.status());
      reactor->Finish(ToGrpcStatus(request.status(), reactor->call_.request.request_id, reactor->context_));
      return reactor;
    }
    std::shared_ptr<CallHandle> handle = reactor->env_.generation->Generate(*std::move(request), self);
    bool cancel = false;
    {
      MutexLock lock(&reactor->mutex_);
      cancel = reactor->cancelled_;
      if (reactor->self_ != nullptr) reactor->handle_ = handle;
    }
    if (cancel) handle->Cancel(Cancelled("the client went away"));
    return reactor;
  }

  void OnStarted(const GenerationStarted& started) override {
    response_->set_request_id(started.request_id);
    ToProto(started.route, response_->mutable_route());
    response_->set_seed(started.seed);
  }
  void OnDelta(GenerationDelta delta) override {
    v1::Choice& choice = choices_[delta.index];
    choice.mutable_text()->append(delta.text);
    for (const int32_t id : delta.token_ids) choice.add_token_ids(id);
    for (const ScoredToken& token : delta.logprobs) ToProto(token, choice.add_logprobs());
    for (const ScoredToken& token : delta.prompt_logprobs) ToProto(token, response_->add_prompt_logprobs());
  }
  void OnFinished(const ChoiceFinished& finished) override {
    v1::Choice& choice = choices_[finished.index];
    choice.set_index(finished.index);
    choice.set_finish_reason(ToProto(finished.reason));
    choice.set_matched_stop(finished.matched_stop);
  }
  void OnEnd(const Status& status, const RequestTotals& totals) override {
    for (auto& [index, choice] : choices_) *response_->add_choices() = std::move(choice);
    ToProto(totals, response_->mutable_usage());
    ToProto(totals, response_->mutable_timing());
    ToProto(totals, env_.generation->context().prices, response_->mutable_cost());
    CountCall(env_, call_, status);
    Finish(ToGrpcStatus(status, call_.request.request_id, context_));
  }

 private:
  void OnCancel() override {
    std::shared_ptr<CallHandle> handle;
    {
      MutexLock lock(&mutex_);
      cancelled_ = true;
      handle = handle_;
    }
    if (handle != nullptr) handle->Cancel(Cancelled("the client went away"));
  }
  void OnDone() override {
    std::shared_ptr<UnaryGenerate> self;
    std::shared_ptr<CallHandle> handle;
    MutexLock lock(&mutex_);
    self.swap(self_);
    handle.swap(handle_);
    // `lock` goes before `handle` and `self` do: they were declared first.
  }

  const ServiceEnv& env_;
  grpc::CallbackServerContext* const context_;
  const CallInfo call_;
  v1::GenerateResponse* const response_;  // gRPC's, until Finish
  std::map<int, v1::Choice> choices_;
  Mutex mutex_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<UnaryGenerate> self_ GUARDED_BY(mutex_);
  std::shared_ptr<CallHandle> handle_ GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerUnaryReactor* StartGenerate(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                        const v1::GenerateRequest* request, v1::GenerateResponse* response) {
  CallInfo call = ReadCallInfo(env, context, kService, "Generate", request->request_id());
  auto parsed = ReadRequest(env, context, *request, call);
  return UnaryGenerate::Start(std::make_shared<UnaryGenerate>(env, context, std::move(call), response),
                              std::move(parsed));
}

grpc::ServerWriteReactor<StreamResponse>* StartGenerateStream(const ServiceEnv& env,
                                                              grpc::CallbackServerContext* context,
                                                              const v1::GenerateStreamRequest* request) {
  CallInfo call = ReadCallInfo(env, context, kService, "GenerateStream", request->request_id());
  auto buffer = Buffer::Make(
      env.settings->limits.max_stream_buffer_bytes, &MergeDeltas,
      [context, id = call.request.request_id](const Status& status) { return ToGrpcStatus(status, id, context); });
  Buffer* const reactor = buffer.get();
  auto parsed = ReadRequest(env, context, *request, call);
  if (!parsed.ok()) {
    ReportRefused(env, call, parsed.status());
    buffer->End(parsed.status());
    return reactor;
  }
  auto listener = std::make_shared<StreamListener>(env, std::move(call), buffer);
  std::shared_ptr<CallHandle> handle = env.generation->Generate(*std::move(parsed), std::move(listener));
  buffer->SetStop([handle](const Status& why) { handle->Cancel(why); });
  return reactor;
}

}  // namespace bitrate
