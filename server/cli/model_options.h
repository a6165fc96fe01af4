// Options that several commands have.
#ifndef BITRATE_SERVER_CLI_MODEL_OPTIONS_H_
#define BITRATE_SERVER_CLI_MODEL_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "server/cli/offline_commands.h"

namespace bitrate {

// For commands whose output is JSON whatever is asked for.
inline void AddJsonFlag(CLI::App& command) {
  const std::string help = "Accepted for uniformity: input and output are JSON lines anyway";
  command.add_flag("--json", help);
}

// `flags` outlives the parse.
inline void AddModelOptions(CLI::App& command, ModelFlags* flags) {
  command.add_option("model", flags->model, "Model folder or .gguf file")->required();
  command.add_option("--precision", flags->precision, "fp32, bf16, fp16, int8, int4 ... as in a variant's config")
      ->capture_default_str();
  command.add_option("--adapter", flags->adapter, "PEFT folder of a LoRA adapter that every prompt gets");
  command.add_option("--threads", flags->threads, "Workers; 0 = the CPUs this process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  AddJsonFlag(command);
}

}  // namespace bitrate

#endif  // BITRATE_SERVER_CLI_MODEL_OPTIONS_H_
