// The reactor of Compare.
#ifndef BITRATE_SERVER_GRPC_COMPARE_REACTOR_H_
#define BITRATE_SERVER_GRPC_COMPARE_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include "bitrate/v1/inference_service.pb.h"

namespace bitrate {

struct ServiceEnv;

grpc::ServerWriteReactor<v1::CompareResponse>* StartCompareCall(const ServiceEnv& env,
                                                                grpc::CallbackServerContext* context,
                                                                const v1::CompareRequest* request);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_COMPARE_REACTOR_H_
