// The server's settings as plain, validated data: what config/config.cc makes of the configuration and everything else
// reads. Defaults are those of proto/bitrate/config/v1/config.proto. Value types.
#ifndef BITRATE_SERVER_SETTINGS_H_
#define BITRATE_SERVER_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/cost.h"
#include "server/router.h"

namespace bitrate {

struct Address {
  std::string host = "127.0.0.1";
  int port = 0;                  // 0 = a free one
  std::string ToString() const;  // "host:port", IPv6 in brackets
};

struct VariantSettings {
  std::string name;
  std::string precision;  // as written; Precision::Parse accepts it
  std::string device = "cpu";
  double pool_weight = 1.0;
  int max_sequences = 16;
  int max_step_tokens = 256;
  double step_budget_ms = 40;  // 0 = no limit but max_step_tokens
  int max_queue = 256;
  int64_t max_queue_tokens = 1 << 20;
  uint64_t kv_bytes = 0;  // 0 = the engine's default
  bool int8_kv = false;   // kv_cache: int8; else auto
  bool prefix_cache = true;
  int64_t max_context = 0;  // 0 = the model's
  bool load = true;
};

struct AdapterSettings {
  std::string name;
  std::string path;  // of a PEFT folder
};

struct ModelSettings {
  std::string name;
  std::string path;
  std::vector<VariantSettings> variants;
  std::vector<AdapterSettings> adapters;
  std::string default_variant;    // one of `variants`
  std::string reference_variant;  // empty = the most precise
};

struct TlsSettings {
  std::string cert_file, key_file, client_ca_file;
  bool enabled() const { return !cert_file.empty(); }
};

struct LimitSettings {
  uint64_t max_message_bytes = 16u << 20;
  uint64_t max_stream_buffer_bytes = 1u << 20;
  int max_concurrent_streams = 1024;
  int max_in_flight = 4096;
  int frontend_threads = 2;
  double max_connection_age_seconds = 1800;
};

struct PackedCacheSettings {
  std::string dir;  // empty = none
  bool huge_pages = false;
};

struct ServerSettings {
  Address grpc{"127.0.0.1", 9000};
  Address admin{"127.0.0.1", 9001};
  std::optional<Address> metrics = Address{"127.0.0.1", 9090};
  TlsSettings tls;
  std::string api_key_file, api_key_env;
  std::vector<ModelSettings> models;
  std::string default_model;  // empty = none: a selector must name a model
  RoutingPolicy routing;
  std::string state_file;  // empty = routing lasts until restart
  int pool_threads = 0;    // 0 = usable CPUs
  bool pool_pin = true;
  std::optional<uint64_t> memory_budget_bytes;  // unset = 90% of what is available at start; 0 = not checked
  PackedCacheSettings packed_cache;
  LimitSettings limits;
  Prices prices;
  double drain_timeout_seconds = 30;
  double liveness_timeout_seconds = 120;
  bool reflection = true;
  std::string log_level = "info";
  bool log_json = false;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_SETTINGS_H_
