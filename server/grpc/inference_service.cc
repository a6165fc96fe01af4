#include "server/grpc/inference_service.h"

#include "bitrate/v1/inference_service.grpc.pb.h"
#include "server/api_error.h"
#include "server/grpc/call_info.h"
#include "server/grpc/compare_reactor.h"
#include "server/grpc/convert.h"
#include "server/grpc/generate_reactors.h"
#include "server/grpc/score_reactor.h"
#include "server/prompt.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr std::string_view kService = "bitrate.v1.InferenceService";

StatusOr<std::shared_ptr<const ModelResources>> FindModel(const ServiceEnv& env, const std::string& selector) {
  // A pinned variant makes no difference to text.
  RETURN_IF_ERROR(ValidateId("model", selector));
  ASSIGN_OR_RETURN(const ModelSelector parsed, ParseModelSelector(selector));  // all share the model's tokenizer
  ASSIGN_OR_RETURN(const std::string model, env.registry->ResolveModel(parsed.model));
  auto resources = env.registry->Resources(model);
  if (resources == nullptr) return VariantNotReadyError(model, "");
  return resources;
}

class InferenceService final : public v1::InferenceService::CallbackService {
 public:
  explicit InferenceService(const ServiceEnv* env) : env_(*env) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context, const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override {
    return StartGenerate(env_, context, request, response);
  }

  grpc::ServerWriteReactor<v1::GenerateStreamResponse>* GenerateStream(
      grpc::CallbackServerContext* context, const v1::GenerateStreamRequest* request) override {
    return StartGenerateStream(env_, context, request);
  }

  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override {
    return StartScoreCall(env_, context, request, response);
  }

  grpc::ServerWriteReactor<v1::CompareResponse>* Compare(grpc::CallbackServerContext* context,
                                                         const v1::CompareRequest* request) override {
    return StartCompareCall(env_, context, request);
  }

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override {
    return RunUnary(env_, context, kService, "Tokenize", false, [this, request, response]() -> Status {
      ASSIGN_OR_RETURN(const auto model, FindModel(env_, request->model()));
      const auto add =
          request->has_add_special_tokens() ? std::optional<bool>(request->add_special_tokens()) : std::nullopt;
      const bool parse = !request->has_parse_special() || request->parse_special();
      ASSIGN_OR_RETURN(const std::vector<int32_t> ids, TextTokens(*model, request->text(), add, parse));
      for (const int32_t id : ids) {
        response->add_token_ids(id);
        response->add_tokens(TokenBytes(*model, id));
      }
      response->set_max_context(model->max_context);
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context, const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override {
    return RunUnary(env_, context, kService, "Detokenize", false, [this, request, response]() -> Status {
      ASSIGN_OR_RETURN(const auto model, FindModel(env_, request->model()));
      const std::vector<int32_t> ids(request->token_ids().begin(), request->token_ids().end());
      ASSIGN_OR_RETURN(*response->mutable_text(), TokensText(*model, ids, request->skip_special_tokens()));
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ApplyChatTemplate(grpc::CallbackServerContext* context,
                                              const v1::ApplyChatTemplateRequest* request,
                                              v1::ApplyChatTemplateResponse* response) override {
    return RunUnary(env_, context, kService, "ApplyChatTemplate", false, [this, request, response]() -> Status {
      ASSIGN_OR_RETURN(const auto model, FindModel(env_, request->model()));
      ASSIGN_OR_RETURN(const ChatRequest chat, FromProto(request->chat()));
      GenerationRequest checked;
      checked.prompt = chat;
      RETURN_IF_ERROR(ValidateRequest(checked));
      ASSIGN_OR_RETURN(RenderedChat rendered, RenderChat(*model, chat));
      *response->mutable_text() = std::move(rendered.text);
      for (const int32_t id : rendered.token_ids) response->add_token_ids(id);
      return OkStatus();
    });
  }

 private:
  const ServiceEnv& env_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(const ServiceEnv* env) {
  return std::make_unique<InferenceService>(env);
}

}  // namespace bitrate
