// The bitrate binary: every command in one.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "server/serve_command.h"
#include "server/version.h"
#ifdef BITRATE_HAS_CLI_CLIENT
#include "server/client/client_commands.h"
#endif
#ifdef BITRATE_HAS_CLI_OFFLINE
#include "server/cli/offline_commands.h"
#endif

int main(int argc, char** argv) {
  CLI::App app{"One model, many bit-rates, one gRPC server", "bitrate"};
  app.set_version_flag("--version", std::string("bitrate ") + bitrate::kVersion);
  app.require_subcommand(1);
  int exit_code = 0;
  try {
    bitrate::AddServeCommand(app, &exit_code);
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
