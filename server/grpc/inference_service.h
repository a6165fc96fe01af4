// bitrate.v1.InferenceService on the callback API. Handlers return at once; text work runs on the frontend pool.
#ifndef BITRATE_SERVER_GRPC_INFERENCE_SERVICE_H_
#define BITRATE_SERVER_GRPC_INFERENCE_SERVICE_H_

#include <memory>

namespace grpc {
class Service;
}

namespace bitrate {

struct ServiceEnv;

// `env` must outlive the service.
std::unique_ptr<grpc::Service> MakeInferenceService(const ServiceEnv* env);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_INFERENCE_SERVICE_H_
