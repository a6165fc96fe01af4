#include "server/grpc/model_service.h"

#include "bitrate/v1/model_service.grpc.pb.h"
#include "server/api_error.h"
#include "server/grpc/call_info.h"
#include "server/grpc/convert.h"
#include "server/variant_registry.h"

namespace bitrate {
namespace {

constexpr std::string_view kService = "bitrate.v1.ModelService";

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(const ServiceEnv* env) : env_(*env) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context, const v1::ListModelsRequest*,
                                       v1::ListModelsResponse* response) override {
    return RunUnary(env_, context, kService, "ListModels", true, [this, response] {
      for (const std::string& name : env_.registry->ModelNames()) Describe(name, response->add_models());
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override {
    return RunUnary(env_, context, kService, "GetModel", true, [this, request, response]() -> Status {
      RETURN_IF_ERROR(ValidateId("model", request->model()));
      ASSIGN_OR_RETURN(const std::string name, env_.registry->ResolveModel(request->model()));
      Describe(name, response->mutable_model());
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListVariants(grpc::CallbackServerContext* context, const v1::ListVariantsRequest* request,
                                         v1::ListVariantsResponse* response) override {
    return RunUnary(env_, context, kService, "ListVariants", true, [this, request, response]() -> Status {
      RETURN_IF_ERROR(ValidateId("model", request->model()));
      if (!request->model().empty()) RETURN_IF_ERROR(env_.registry->ResolveModel(request->model()).status());
      for (const VariantSnapshot& variant : env_.registry->Snapshots(request->model())) {
        ToProto(variant, /*public_view=*/true, response->add_variants());
      }
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* GetVariant(grpc::CallbackServerContext* context, const v1::GetVariantRequest* request,
                                       v1::GetVariantResponse* response) override {
    return RunUnary(env_, context, kService, "GetVariant", true, [this, request, response]() -> Status {
      RETURN_IF_ERROR(ValidateId("model", request->model()));
      RETURN_IF_ERROR(ValidateId("variant", request->variant()));
      ASSIGN_OR_RETURN(const std::string model, env_.registry->ResolveModel(request->model()));
      ASSIGN_OR_RETURN(const VariantSnapshot variant, env_.registry->Snapshot(model, request->variant()));
      ToProto(variant, /*public_view=*/true, response->mutable_variant());
      return OkStatus();
    });
  }

 private:
  void Describe(const std::string& name, v1::Model* out) const {
    out->set_name(name);
    out->set_is_default(name == env_.registry->default_model());
    if (const auto routable = env_.registry->Routable(name); routable.ok()) {
      out->set_default_variant(routable->default_variant);
      for (const std::string& variant : routable->variants) out->add_variants(variant);
    }
    for (const AdapterSnapshot& adapter : env_.registry->adapters().List(name)) {
      if (adapter.error.ok()) out->add_adapters(adapter.name);
    }
    const auto resources = env_.registry->Resources(name);
    if (resources == nullptr) return;  // the checkpoint could not be opened
    out->set_architecture(resources->architecture);
    out->set_vocab_size(resources->vocab_size);
    out->set_max_context(resources->max_context);
    out->set_has_tokenizer(resources->tokenizer != nullptr);
    out->set_has_chat_template(resources->chat_template != nullptr);
    out->set_content_digest(resources->digest);
  }

  const ServiceEnv& env_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeModelService(const ServiceEnv* env) { return std::make_unique<ModelService>(env); }

}  // namespace bitrate
