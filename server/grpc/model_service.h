// bitrate.v1.ModelService: what the server has. Answered while draining too.
#ifndef BITRATE_SERVER_GRPC_MODEL_SERVICE_H_
#define BITRATE_SERVER_GRPC_MODEL_SERVICE_H_

#include <memory>

namespace grpc {
class Service;
}

namespace bitrate {

struct ServiceEnv;

// `env` must outlive the service.
std::unique_ptr<grpc::Service> MakeModelService(const ServiceEnv* env);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_MODEL_SERVICE_H_
