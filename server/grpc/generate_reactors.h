// The reactors of Generate and GenerateStream: between the events of a generation and the writes of a call.
#ifndef BITRATE_SERVER_GRPC_GENERATE_REACTORS_H_
#define BITRATE_SERVER_GRPC_GENERATE_REACTORS_H_

#include <grpcpp/support/server_callback.h>

#include "bitrate/v1/inference_service.pb.h"

namespace bitrate {

struct ServiceEnv;

grpc::ServerUnaryReactor* StartGenerate(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                        const v1::GenerateRequest* request, v1::GenerateResponse* response);
grpc::ServerWriteReactor<v1::GenerateStreamResponse>* StartGenerateStream(const ServiceEnv& env,
                                                                          grpc::CallbackServerContext* context,
                                                                          const v1::GenerateStreamRequest* request);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_GENERATE_REACTORS_H_
