// YAML -> a protobuf message of the same shape, through its descriptor. Strict, and never stops at the first error:
// unknown key, duplicate key, wrong type, number out of its type's range, more than one document, anchors that expand
// without bound. yaml-cpp throws and is seen by yaml_reader.cc only.
//
// Units: a uint64 field named *_bytes takes "512MiB", "2GiB", "1GB" (decimal) or a plain number.
#ifndef BITRATE_SERVER_CONFIG_YAML_READER_H_
#define BITRATE_SERVER_CONFIG_YAML_READER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace google::protobuf {
class Message;
}

namespace bitrate {

// One thing that is wrong. `line` 0 = not from the file (a flag, or something that is missing as a whole).
struct ConfigProblem {
  int line = 0;
  std::string path;         // "models[0].variants[1].precision"; empty = the file itself
  std::string description;  // what, got, wanted
};

// Where each value was written, so that later checks can name lines too.
struct ConfigSource {
  std::string file;                  // as given by the user
  std::map<std::string, int> lines;  // path -> line, from 1
  // The line of `path`, or of its nearest parent that was written; 0 = nowhere.
  int LineOf(std::string_view path) const;
};

// Fills `message`; what is wrong is skipped and reported in `problems`, in the order of the file.
void ReadYaml(std::string_view text, google::protobuf::Message* message, ConfigSource* source,
              std::vector<ConfigProblem>* problems);

// "file:line: path: description", one line each, sorted by line.
std::string FormatProblems(const ConfigSource& source, std::vector<ConfigProblem> problems);

// "512MiB" -> bytes. Units B, kB, KB, MB, GB, TB (decimal), KiB, MiB, GiB, TiB; a fraction is allowed ("1.5GiB").
std::optional<uint64_t> ParseSize(std::string_view text);

}  // namespace bitrate

#endif  // BITRATE_SERVER_CONFIG_YAML_READER_H_
