#include "server/config/yaml_reader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <set>
#include <sstream>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMaxNodes = 100'000;  // aliases can make a small file describe any number of nodes
constexpr int kMaxDepth = 16;       // the schema is four deep
constexpr size_t kMaxQuoted = 60;   // of a bad value in a message

std::string Quote(const std::string& text) {
  return "\"" + (text.size() > kMaxQuoted ? text.substr(0, kMaxQuoted) + "..." : text) + "\"";
}

std::string Describe(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return Quote(node.Scalar());
    default:
      return "nothing";
  }
}

const char* TypeName(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a map";
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a size such as 512MiB";
    default:
      return "a whole number";
  }
}

template <typename T>
std::optional<T> ParseNumber(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || text.empty()) return std::nullopt;
  return value;
}

class Reader {
 public:
  Reader(ConfigSource* source, std::vector<ConfigProblem>* problems) : source_(source), problems_(problems) {}

  void ReadMap(const YAML::Node& node, const std::string& path, int depth, Message* message) {
    if (!Enter(node, path, depth)) return;
    if (!node.IsMap()) return Report(node, path, "got " + Describe(node) + ", wanted a map");
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Report(entry.first, path, "got " + Describe(entry.first) + " as a key, wanted a name");
        continue;
      }
      const std::string key = entry.first.Scalar();
      const std::string key_path = path.empty() ? key : path + "." + key;
      const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(key);
      if (field == nullptr) {
        Report(entry.first, path.empty() ? Short(key) : path + "." + Short(key),
               "unknown key, wanted one of: " + Keys(*message->GetDescriptor()));
      } else if (!seen.insert(key).second) {
        Report(entry.first, key_path, "the key is there twice");
      } else {
        source_->lines[key_path] = entry.first.Mark().line + 1;
        ReadField(entry.second, key_path, depth + 1, *field, message);
      }
    }
  }

 private:
  static std::string Short(const std::string& key) { return key.substr(0, kMaxQuoted); }

  static std::string Keys(const Descriptor& descriptor) {
    std::string keys;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      if (i > 0) keys += ", ";
      keys += descriptor.field(i)->name();
    }
    return keys;
  }

  // False when the file is too large or too deep to go on with.
  bool Enter(const YAML::Node& node, const std::string& path, int depth) {
    if (++num_nodes_ > kMaxNodes) {
      if (!gave_up_) Report(node, path, "the file describes more than 100000 values");
      gave_up_ = true;
      return false;
    }
    if (depth <= kMaxDepth) return true;
    Report(node, path, "nested too deeply");
    return false;
  }

  void Report(const YAML::Node& node, const std::string& path, std::string description) {
    if (gave_up_) return;
    // The mark of a value that is not there is wherever the parser went next.
    const bool has_mark = node.Mark().line >= 0 && !node.IsNull();
    const int line = has_mark ? node.Mark().line + 1 : source_->LineOf(path);
    problems_->push_back({line, path, std::move(description)});
  }

  void ReadField(const YAML::Node& node, const std::string& path, int depth, const FieldDescriptor& field,
                 Message* message) {
    const Reflection& reflection = *message->GetReflection();
    if (!field.is_repeated()) {
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        return ReadMap(node, path, depth, reflection.MutableMessage(message, &field));
      }
      return ReadScalar(node, path, depth, field, message);
    }
    if (!Enter(node, path, depth)) return;
    if (!node.IsSequence()) return Report(node, path, "got " + Describe(node) + ", wanted a list");
    for (size_t i = 0; i < node.size() && !gave_up_; ++i) {
      const std::string item = path + "[" + std::to_string(i) + "]";
      const YAML::Node child = node[i];
      source_->lines[item] = child.Mark().line + 1;
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        ReadMap(child, item, depth + 1, reflection.AddMessage(message, &field));
      } else {
        ReadScalar(child, item, depth + 1, field, message);
      }
    }
  }

  void ReadScalar(const YAML::Node& node, const std::string& path, int depth, const FieldDescriptor& field,
                  Message* message) {
    if (!Enter(node, path, depth)) return;
    if (!node.IsScalar() || !Assign(node.Scalar(), field, message)) {
      Report(node, path, "got " + Describe(node) + ", wanted " + TypeName(field));
    }
  }

  static bool Assign(const std::string& text, const FieldDescriptor& field, Message* message) {
    const Reflection& reflection = *message->GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        if (field.is_repeated()) {
          reflection.AddString(message, &field, text);
        } else {
          reflection.SetString(message, &field, text);
        }
        return true;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (text != "true" && text != "false") return false;
        reflection.SetBool(message, &field, text == "true");
        return true;
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto value = ParseNumber<int32_t>(text);
        if (value) reflection.SetInt32(message, &field, *value);
        return value.has_value();
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const auto value = ParseNumber<int64_t>(text);
        if (value) reflection.SetInt64(message, &field, *value);
        return value.has_value();
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto value = ParseSize(text);
        if (value) reflection.SetUInt64(message, &field, *value);
        return value.has_value();
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const auto value = ParseNumber<double>(text);
        if (!value || !std::isfinite(*value)) return false;
        reflection.SetDouble(message, &field, *value);
        return true;
      }
      default:
        return false;
    }
  }

  ConfigSource* source_;
  std::vector<ConfigProblem>* problems_;
  int num_nodes_ = 0;
  bool gave_up_ = false;
};

}  // namespace

int ConfigSource::LineOf(std::string_view path) const {
  while (!path.empty()) {
    if (const auto it = lines.find(std::string(path)); it != lines.end()) return it->second;
    const size_t cut = path.find_last_of(".[");
    if (cut == std::string_view::npos) break;
    path = path.substr(0, cut);
  }
  return 0;
}

// Documents in the text, counted up to two. Not YAML::LoadAll: yaml-cpp 0.7 does not consume a token such as a leading
// "," and hands out empty documents for ever.
class IgnoreEvents final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

int CountDocuments(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  IgnoreEvents events;
  int count = 0;
  while (count < 2 && parser.HandleNextDocument(events)) ++count;
  return count;
}

void ReadYaml(std::string_view text, Message* message, ConfigSource* source, std::vector<ConfigProblem>* problems) {
  if (text.size() > limits::kMaxConfigBytes) {
    problems->push_back({0, "", "the file is larger than 4 MiB"});
    return;
  }
  try {
    const std::string document(text);
    if (const int count = CountDocuments(document); count != 1) {
      problems->push_back({0, "", count == 0 ? "got 0 documents, wanted one" : "got 2 documents or more, wanted one"});
      return;
    }
    Reader(source, problems).ReadMap(YAML::Load(document), "", 0, message);
  } catch (const YAML::Exception& e) {
    problems->push_back({e.mark.line >= 0 ? e.mark.line + 1 : 0, "", "not YAML: " + e.msg});
  } catch (const std::exception& e) {
    problems->push_back({0, "", std::string("not YAML: ") + e.what()});
  }
}

std::string FormatProblems(const ConfigSource& source, std::vector<ConfigProblem> problems) {
  std::stable_sort(problems.begin(), problems.end(),
                   [](const ConfigProblem& a, const ConfigProblem& b) { return a.line < b.line; });
  std::string text;
  for (const ConfigProblem& problem : problems) {
    if (!text.empty()) text += "\n";
    text += source.file;
    if (problem.line > 0) text += ":" + std::to_string(problem.line);
    text += ": ";
    if (!problem.path.empty()) text += problem.path + ": ";
    text += problem.description;
  }
  return text;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789.");
  const std::string number(text.substr(0, digits));
  std::string_view unit = digits == std::string_view::npos ? "" : text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"", 1},
                                                                   {"B", 1},
                                                                   {"kB", 1e3},
                                                                   {"KB", 1e3},
                                                                   {"MB", 1e6},
                                                                   {"GB", 1e9},
                                                                   {"TB", 1e12},
                                                                   {"KiB", 1024.0},
                                                                   {"MiB", 1048576.0},
                                                                   {"GiB", 1073741824.0},
                                                                   {"TiB", 1099511627776.0}};
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    if (factor == 1) return ParseNumber<uint64_t>(number);  // exact beyond 2^53
    const auto value = ParseNumber<double>(number);
    if (!value || *value < 0 || *value * factor >= 9e18) return std::nullopt;
    return static_cast<uint64_t>(std::llround(*value * factor));
  }
  return std::nullopt;
}

}  // namespace bitrate
