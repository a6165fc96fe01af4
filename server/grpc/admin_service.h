// bitrate.v1.AdminService, on its own port. Answered while draining too.
#ifndef BITRATE_SERVER_GRPC_ADMIN_SERVICE_H_
#define BITRATE_SERVER_GRPC_ADMIN_SERVICE_H_

#include <memory>

namespace grpc {
class Service;
}

namespace bitrate {

struct ServiceEnv;

// `env` must outlive the service.
std::unique_ptr<grpc::Service> MakeAdminService(const ServiceEnv* env);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_ADMIN_SERVICE_H_
