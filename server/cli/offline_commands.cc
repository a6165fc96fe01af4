#include "server/cli/offline_commands.h"

#include <iostream>

namespace bitrate {

CliStreams StandardStreams() { return {std::cin, std::cout, std::cerr}; }

void AddOfflineCommands(CLI::App& app, int* exit_code) {
  AddInspectCommand(app, exit_code);
  AddTokenizeCommand(app, exit_code);
  AddTemplateCommand(app, exit_code);
  AddLogitsCommand(app, exit_code);
  AddScoreCommand(app, exit_code);
}

}  // namespace bitrate
