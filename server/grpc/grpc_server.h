// The two gRPC servers: the public port and the admin port, with health, both reflections, keepalive, limits and TLS.
//
// Thread rule: thread-safe after Start.
// Errors: UNAVAILABLE an address that cannot be taken; NOT_FOUND or INVALID_ARGUMENT a certificate that cannot be read.
#ifndef BITRATE_SERVER_GRPC_GRPC_SERVER_H_
#define BITRATE_SERVER_GRPC_GRPC_SERVER_H_

#include <memory>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/status.h"

namespace bitrate {

struct ServiceEnv;

class GrpcServers {
 public:
  // Serves at once, with every health name NOT_SERVING but `liveness`. `env` must outlive the result.
  static StatusOr<std::unique_ptr<GrpcServers>> Start(const ServiceEnv* env);
  virtual ~GrpcServers() = default;

  // On both ports. "" is the readiness of the whole server.
  virtual void SetHealth(const std::string& service, bool serving) = 0;
  // Takes no new calls; waits for the running ones until `grace` has passed, then cancels them and waits for their end.
  virtual void Shutdown(Duration grace) = 0;
  virtual int grpc_port() const = 0;
  virtual int admin_port() const = 0;
};

// "bitrate.variant.MODEL.VARIANT"
std::string VariantHealthName(const std::string& model, const std::string& variant);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GRPC_GRPC_SERVER_H_
