// The bitrate binary: every command in one.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>

#include "server/serve_command.h"
#include "server/version.h"
#ifdef BITRATE_HAS_CLI_CLIENT
#include "server/client/client_commands.h"
#endif
#ifdef BITRATE_HAS_CLI_OFFLINE
#include "server/cli/offline_commands.h"
#endif

namespace {

void AddServeCommand(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<bitrate::ServeFlags>();
  CLI::App* serve = app.add_subcommand("serve", "Serve models at several bit-rates over gRPC");
  bitrate::ConfigOverrides& o = flags->overrides;
  serve->add_option("model", o.model_path,
                    "A GGUF file or a Hugging Face folder (instead of the configuration's models)");
  serve->add_option("-c,--config", flags->config, "Configuration file (YAML)");
  serve
      ->add_option("--variants", o.variants,
                   "Precisions to load, e.g. fp32,int8,int4 or name=precision (default: native for a quantized "
                   "checkpoint, int8 for another)")
      ->delimiter(',')
      ->allow_extra_args(false);  // `--variants a,b MODEL` leaves MODEL alone
  serve->add_option("--name", o.model_name, "The model's name (default: from its path)");
  serve
      ->add_option("--adapter", o.adapters,
                   "LoRA adapter as NAME=PATH (a PEFT folder), served as MODEL+NAME; repeatable")
      ->allow_extra_args(false);
  serve->add_option("--grpc", o.grpc, "Address of the public port (default 127.0.0.1:9000; port 0 takes a free one)");
  serve->add_option("--admin", o.admin, "Address of the admin port (default 127.0.0.1:9001)");
  serve->add_option("--metrics", o.metrics, "Address of /metrics and /healthz (default 127.0.0.1:9090; '' for none)");
  serve->add_option("--threads", o.threads, "Compute threads (default: the CPUs this process may use)");
  serve->add_option("--kv-bytes", o.kv_bytes, "KV cache of each variant, e.g. 256MiB");
  serve->add_option("--memory-budget", o.memory_budget, "For all variants together, e.g. 8GiB; 0 = not checked");
  serve->add_option("--packed-cache", o.packed_cache,
                    "Folder that keeps packed weights, so that the next start maps them (default: none)");
  serve->add_option("--drain-timeout", o.drain_timeout_seconds, "Seconds running requests may take after SIGTERM");
  serve->add_option("--log-level", o.log_level, "trace, debug, info, warn or error");
  serve->add_option("--log-format", o.log_format, "text or json");
  serve->add_flag("--no-reflection", flags->no_reflection, "Do not offer gRPC server reflection");
  serve->footer(
      "Examples:\n"
      "  bitrate serve model.gguf --variants fp32,int8,int4\n"
      "  bitrate serve ./my-hf-folder --variants fp16,int4 --adapter support=./lora-support --adapter sql=./lora-sql\n"
      "  bitrate serve --config config/quickstart.yaml --threads 4\n"
      "  bitrate serve ./my-hf-folder --name my-model --variants bf16,small=int4-g64-asym --grpc 0.0.0.0:9000");
  serve->callback([flags, exit_code] { *exit_code = bitrate::RunServe(*flags); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"One model, many bit-rates, one gRPC server", "bitrate"};
  app.set_version_flag("--version", std::string("bitrate ") + bitrate::kVersion);
  app.require_subcommand(1);
  int exit_code = 0;
  try {
    AddServeCommand(app, &exit_code);
#ifdef BITRATE_HAS_CLI_CLIENT
    bitrate::AddClientCommands(app, &exit_code);
#endif
#ifdef BITRATE_HAS_CLI_OFFLINE
    bitrate::AddOfflineCommands(app, &exit_code);
#endif
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // 0 for --help and --version; wrong use is 2 for every command.
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
  return exit_code;
}
