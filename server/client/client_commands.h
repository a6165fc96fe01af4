// The commands that talk to a running server over gRPC: generate, compare, models, bench. Each is a file of its own.
// Exit codes, as for every command: 0 done, 1 failed, 2 wrong use or bad input.
#ifndef BITRATE_SERVER_CLIENT_CLIENT_COMMANDS_H_
#define BITRATE_SERVER_CLIENT_CLIENT_COMMANDS_H_

namespace CLI {
class App;
}

namespace bitrate {

// Registers the commands on `app`; one that runs stores its exit code in `*exit_code`. Both outlive the parse.
void AddClientCommands(CLI::App& app, int* exit_code);

void AddGenerateCommand(CLI::App& app, int* exit_code);
void AddCompareCommand(CLI::App& app, int* exit_code);
void AddModelsCommand(CLI::App& app, int* exit_code);
void AddBenchCommand(CLI::App& app, int* exit_code);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLIENT_CLIENT_COMMANDS_H_
