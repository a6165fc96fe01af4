// `bitrate serve`: from flags and a configuration file to a running server, until a signal ends it.
#ifndef BITRATE_SERVER_SERVE_COMMAND_H_
#define BITRATE_SERVER_SERVE_COMMAND_H_

namespace CLI {
class App;
}

namespace bitrate {

// Registers the command; when it runs it stores its exit code (0 drained and stopped, 1 failed, 2 wrong use or bad
// configuration) in `*exit_code`. Both outlive the parse.
void AddServeCommand(CLI::App& app, int* exit_code);

}  // namespace bitrate

#endif  // BITRATE_SERVER_SERVE_COMMAND_H_
