#include "server/serve_command.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "engine/base/compute_pool.h"
#include "engine/base/cpu_features.h"
#include "engine/base/mutex.h"
#include "server/bitrate_server.h"
#include "server/config/config.h"
#include "server/engine_loader.h"
#include "server/load_reporter.h"
#include "server/metrics/http_server.h"
#include "server/metrics/prometheus_telemetry.h"
#include "server/request_log.h"
#include "server/variant_registry.h"
#include "server/version.h"

namespace bitrate {
namespace {

int Fail(const Status& status) {
  std::fputs(fmt::format("error: {}\n", ToStd(status.message())).c_str(), stderr);
  const StatusCode code = status.code();
  return code == StatusCode::kInvalidArgument || code == StatusCode::kNotFound ? 2 : 1;
}

// SIGTERM and SIGINT, taken by a thread that waits for them: the first ends WaitFirst (or, while variants still load
// and nothing is served, the process), the second exits at once.
class SignalWaiter {
 public:
  // Before any other thread starts, so that all inherit the mask.
  SignalWaiter() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    ::signal(SIGXFSZ, SIG_IGN);  // a file over the process's size limit is a failed write, not the end
    thread_ = std::thread([this] { Run(); });
  }
  ~SignalWaiter() {
    pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
  }
  int WaitFirst() {
    MutexLock lock(&mutex_);
    serving_ = true;
    while (first_ == 0) changed_.Wait(&mutex_);
    return first_;
  }

 private:
  void Run() {
    while (true) {
      int signal = 0;
      sigwait(&set_, &signal);
      if (signal == SIGUSR2) return;
      MutexLock lock(&mutex_);
      if (!serving_) _exit(0);
      if (first_ != 0) _exit(128 + signal);
      first_ = signal;
      changed_.SignalAll();
    }
  }

  sigset_t set_;
  Mutex mutex_;
  CondVar changed_;
  bool serving_ GUARDED_BY(mutex_) = false;
  int first_ GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

std::string Mib(uint64_t bytes) { return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string StartUpBlock(const ServerSettings& settings, const BitrateServer& server, VariantRegistry* registry,
                         const ComputePool& pool, std::string_view isa, int http_port) {
  std::string text = fmt::format("bitrate {}   isa {}   {} compute threads\n", kVersion, isa, pool.num_workers());
  text += "  variants\n";
  for (const VariantSnapshot& variant : registry->Snapshots()) {
    const std::string name = variant.model + ":" + variant.settings.name;
    if (variant.serving == nullptr) {
      text += fmt::format("    {:<32} {}{}\n", name, VariantStateName(variant.state),
                          variant.error.ok() ? "" : ": " + std::string(ToStd(variant.error.message())));
      continue;
    }
    const VariantInfo& info = variant.serving->info;
    const std::string mapped =
        info.mapped_weight_bytes > 0 ? fmt::format(", {} mapped", Mib(info.mapped_weight_bytes)) : "";
    text += fmt::format("    {:<32} {:>5.2f} bits  weights {:>9} ({} of its own{})  kv {:>9} {}  {}  {:.1f} s\n", name,
                        info.weight_bits, Mib(info.weight_bytes), Mib(info.unique_weight_bytes), mapped,
                        Mib(info.kv_bytes), info.kv_precision, info.kernel, info.load_seconds);
  }
  for (const AdapterSnapshot& adapter : registry->adapters().List()) {
    text += fmt::format("    {:<32} {}\n", adapter.model + "+" + adapter.name,
                        adapter.error.ok() ? fmt::format("adapter, rank {}, {} modules, {}", adapter.max_rank,
                                                         adapter.num_modules, Mib(adapter.bytes))
                                           : "adapter failed: " + std::string(ToStd(adapter.error.message())));
  }
  text += "  memory (estimated before loading)\n" + server.memory_summary();
  const char* scheme = settings.tls.enabled() ? "TLS" : "no TLS";
  const bool keys = !settings.api_key_file.empty() || !settings.api_key_env.empty();
  text += fmt::format("  grpc     {}  ({}, {})\n", Address{settings.grpc.host, server.grpc_port()}.ToString(), scheme,
                      keys ? "API key" : "no API key");
  text += fmt::format("  admin    {}\n", Address{settings.admin.host, server.admin_port()}.ToString());
  if (settings.metrics) {
    text += fmt::format("  metrics  http://{}/metrics\n", Address{settings.metrics->host, http_port}.ToString());
  }
  return text + "ready\n";
}

StatusOr<std::unique_ptr<HttpServer>> StartHttp(const ServerSettings& settings, PrometheusTelemetry* telemetry,
                                                const std::function<bool()>& serving) {
  if (!settings.metrics) return StatusOr<std::unique_ptr<HttpServer>>(nullptr);
  HttpServer::Handlers handlers;
  handlers["/metrics"] = [telemetry] {
    HttpReply reply;
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply.body = telemetry->Scrape();
    return reply;
  };
  handlers["/healthz"] = [serving] {
    HttpReply reply;
    const bool ok = serving();
    reply.code = ok ? 200 : 503;
    reply.body = ok ? "ok\n" : "not serving\n";
    return reply;
  };
  return HttpServer::Start(settings.metrics->ToString(), std::move(handlers));
}

Status RunServer(const ServerSettings& settings, SignalWaiter& signals) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const std::unique_ptr<RequestLog> log = MakeRequestLog(settings.log_level, settings.log_json);
  ASSIGN_OR_RETURN(const Isa isa, SelectIsa());
  ComputePool pool({settings.pool_threads, settings.pool_pin});
  EngineLoaderOptions loader_options;
  loader_options.packed_cache = settings.packed_cache;
  loader_options.warn = [&log](std::string_view problem) {
    log->Write(LogLevel::kWarn, "packed cache", {{"problem", problem}});
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelLoader> loader, MakeEngineLoader(&pool, Clock::System(), loader_options));
  const auto telemetry = MakePrometheusTelemetry({kVersion, ""}, settings.prices, Clock::System());
  const auto reporter = MakeLoadReporter(log.get(), terminal);
  // The HTTP port is open while variants load, so that probes get an answer; `server` is set once it is complete.
  Mutex mutex;
  BitrateServer* current = nullptr;
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> http, StartHttp(settings, telemetry.get(), [&] {
                     MutexLock lock(&mutex);
                     return current != nullptr && current->serving();
                   }));
  ServerParts parts;
  parts.loader = loader.get();
  parts.telemetry = telemetry.get();
  parts.clock = Clock::System();
  parts.log = log.get();
  parts.reporter = reporter.get();
  parts.pool_leased_seconds = [&pool] { return pool.TotalLeasedSeconds(); };
  parts.pool_workers = pool.num_workers();
  ASSIGN_OR_RETURN(const std::unique_ptr<BitrateServer> server, BitrateServer::Start(settings, std::move(parts)));
  {
    MutexLock lock(&mutex);
    current = server.get();
  }
  std::fputs(StartUpBlock(settings, *server, server->registry(), pool, IsaName(isa), http ? http->port() : 0).c_str(),
             stdout);
  std::fflush(stdout);
  const int signal = signals.WaitFirst();
  log->Write(LogLevel::kInfo, "signal", {{"name", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  {
    MutexLock lock(&mutex);
    current = nullptr;
  }
  server->Shutdown();
  return OkStatus();
}

}  // namespace

int RunServe(ServeFlags flags) {
  if (flags.config.empty() && !flags.overrides.model_path) {
    std::fputs("error: got neither a model nor --config; try: bitrate serve MODEL --variants fp32,int8,int4\n", stderr);
    return 2;
  }
  if (flags.no_reflection) flags.overrides.reflection = false;
  const auto settings = LoadConfig(flags.config, flags.overrides);
  if (!settings.ok()) return Fail(settings.status());
  SignalWaiter signals;
  const Status status = RunServer(*settings, signals);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace bitrate
