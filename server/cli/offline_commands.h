// The commands that need no server: tokenize, detokenize, template, logits, score, inspect. They read JSON lines from
// stdin and write JSON lines to stdout, through the same tokenizer, templates and kernels that serve, so that any of
// them can be checked from outside. Each is a file of its own.
//
// Exit codes, as for every command: 0 done, 1 failed, 2 wrong use or bad input (the message names the line).
#ifndef BITRATE_SERVER_CLI_OFFLINE_COMMANDS_H_
#define BITRATE_SERVER_CLI_OFFLINE_COMMANDS_H_

#include <iosfwd>
#include <string>

namespace CLI {
class App;
}

namespace bitrate {

// Registers the commands on `app`; one that runs stores its exit code in `*exit_code`. Both outlive the parse.
void AddOfflineCommands(CLI::App& app, int* exit_code);

void AddTokenizeCommand(CLI::App& app, int* exit_code);  // and detokenize
void AddTemplateCommand(CLI::App& app, int* exit_code);
void AddLogitsCommand(CLI::App& app, int* exit_code);
void AddScoreCommand(CLI::App& app, int* exit_code);
void AddInspectCommand(CLI::App& app, int* exit_code);

// What a command reads and writes: the standard streams, or a test's.
struct CliStreams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};
CliStreams StandardStreams();

struct ModelFlags {
  std::string model;  // folder or file
  std::string precision = "fp32";
  std::string adapter;  // folder of a LoRA adapter; empty = none
  int threads = 0;      // 0 = usable CPUs
};

// Each runs one command and returns its exit code.
int RunTokenize(const std::string& model, CliStreams streams);
int RunDetokenize(const std::string& model, CliStreams streams);
int RunTemplate(const std::string& model, CliStreams streams);
int RunLogits(const ModelFlags& flags, const std::string& out_dir, CliStreams streams);
int RunScore(const ModelFlags& flags, CliStreams streams);

struct InspectFlags {
  std::string model;
  std::string tensor;  // one tensor instead of the whole
  std::string out;     // .safetensors file for it
  bool json = false;
};
int RunInspect(const InspectFlags& flags, CliStreams streams);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLI_OFFLINE_COMMANDS_H_
