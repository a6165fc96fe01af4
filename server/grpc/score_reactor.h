// The reactor of Score.
#ifndef BITRATE_SERVER_GRPC_SCORE_REACTOR_H_
#define BITRATE_SERVER_GRPC_SCORE_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include "bitrate/v1/inference_service.pb.h"

namespace bitrate {

struct ServiceEnv;

grpc::ServerUnaryReactor* StartScoreCall(const ServiceEnv& env, grpc::CallbackServerContext* context,
                                         const v1::ScoreRequest* request, v1::ScoreResponse* response);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_SCORE_REACTOR_H_
