// grpc.reflection.v1.ServerReflection over the generated descriptor pool. (gRPC 1.51 has v1alpha only; some clients ask
// for v1 only.) Stateless: each request on the stream is answered by itself.
#ifndef BITRATE_SERVER_GRPC_REFLECTION_V1_H_
#define BITRATE_SERVER_GRPC_REFLECTION_V1_H_

#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Service;
}

namespace bitrate {

// `services`: full names, as list_services tells them.
std::unique_ptr<grpc::Service> MakeReflectionV1(std::vector<std::string> services);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_REFLECTION_V1_H_
