// The whole server, put together: registry, routing, generation, gRPC ports, health, and its life: start, drain, stop.
// main runs one; tests run many, with loaders, clocks and telemetry of their own.
//
// Thread rule: Start and Shutdown from one thread; StartDrain and the questions from any.
#ifndef BITRATE_SERVER_BITRATE_SERVER_H_
#define BITRATE_SERVER_BITRATE_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "server/settings.h"

namespace bitrate {

class LoadReporter;
class ModelLoader;
class RequestLog;
class RoutingStore;
class Telemetry;
class VariantRegistry;

// All outlive the server. `reporter` may be null.
struct ServerParts {
  ModelLoader* loader = nullptr;
  Telemetry* telemetry = nullptr;
  const Clock* clock = nullptr;
  RequestLog* log = nullptr;
  LoadReporter* reporter = nullptr;
  std::function<double()> pool_leased_seconds;
  int pool_workers = 0;
};

class BitrateServer {
 public:
  // Opens the ports (health NOT_SERVING), then loads the configured variants one after another; returns when at least
  // one is ready, or when there is none to load. Errors: RESOURCE_EXHAUSTED over the memory budget; those of the ports,
  // keys and state file; the first variant's when none could be loaded.
  static StatusOr<std::unique_ptr<BitrateServer>> Start(ServerSettings settings, ServerParts parts);
  virtual ~BitrateServer() = default;

  // Health NOT_SERVING, new requests UNAVAILABLE; running ones go on. Returns at once.
  virtual void StartDrain() = 0;
  // Drains for up to the configured time, ends what is left, stops everything. Also done by the destructor.
  virtual void Shutdown() = 0;

  // Requests are taken and a variant is ready.
  virtual bool serving() const = 0;
  virtual int in_flight() const = 0;
  virtual int grpc_port() const = 0;
  virtual int admin_port() const = 0;
  virtual VariantRegistry* registry() = 0;
  virtual RoutingStore* routing() = 0;
  // The sum that was checked at start, a line per variant.
  virtual const std::string& memory_summary() const = 0;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_BITRATE_SERVER_H_
