#include "server/config/config.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bitrate/config/v1/config.pb.h"
#include "engine/artifact/checkpoint.h"
#include "engine/base/limits.h"
#include "server/config/settings_builder.h"
#include "server/config/yaml_reader.h"

namespace bitrate {
namespace {

namespace pb = config::v1;

// A model's name when the user gives only a path: the file's or folder's, without extension and odd characters.
std::string NameFromPath(const std::string& path) {
  std::filesystem::path p(path);
  if (!p.has_filename()) p = p.parent_path();
  std::string name = p.extension() == ".gguf" ? p.stem().string() : p.filename().string();
  for (char& c : name) {
    const bool good =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
    if (!good) c = '_';
  }
  return name.empty() ? "model" : name;
}

// What serves a model when the user asks for nothing: a quantized checkpoint as it is, another in int8. A path that
// cannot be opened is reported when it is loaded.
const char* DefaultPrecision(const std::string& path) {
  const auto checkpoint = Checkpoint::Open(path);
  return checkpoint.ok() && (*checkpoint)->IsQuantized() ? "native" : "int8";
}

void ApplyModelFlags(const ConfigOverrides& flags, pb::ServerConfig* config) {
  if (flags.model_path) {
    config->clear_models();
    config->clear_routing();
    config->clear_default_model();
    pb::ModelConfig* model = config->add_models();
    model->set_path(*flags.model_path);
    model->set_name(flags.model_name.value_or(NameFromPath(*flags.model_path)));
    if (flags.variants.empty()) model->add_variants()->set_precision(DefaultPrecision(*flags.model_path));
  } else if (flags.model_name && config->models_size() == 1) {
    config->mutable_models(0)->set_name(*flags.model_name);
  }
  if (flags.variants.empty() || config->models_size() != 1) return;
  pb::ModelConfig* model = config->mutable_models(0);
  model->clear_variants();
  for (const std::string& text : flags.variants) {
    pb::VariantConfig* variant = model->add_variants();
    const size_t equals = text.find('=');
    if (equals != std::string::npos) variant->set_name(text.substr(0, equals));
    variant->set_precision(equals == std::string::npos ? text : text.substr(equals + 1));
  }
}

void ApplyFlags(const ConfigOverrides& flags, pb::ServerConfig* config, std::vector<ConfigProblem>* problems) {
  ApplyModelFlags(flags, config);
  if (!flags.variants.empty() && config->models_size() != 1) {
    problems->push_back({0, "--variants", fmt::format("needs one model, got {}", config->models_size())});
  }
  for (const std::string& text : flags.adapters) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || config->models_size() != 1) {
      problems->push_back({0, "--adapter",
                           equals == std::string::npos
                               ? fmt::format("got \"{}\", wanted NAME=PATH", text)
                               : fmt::format("needs one model, got {}", config->models_size())});
      continue;
    }
    pb::AdapterConfig* adapter = config->mutable_models(0)->add_adapters();
    adapter->set_name(text.substr(0, equals));
    adapter->set_path(text.substr(equals + 1));
  }
  if (flags.grpc) config->mutable_listen()->set_grpc(*flags.grpc);
  if (flags.admin) config->mutable_listen()->set_admin(*flags.admin);
  if (flags.metrics) config->mutable_listen()->set_metrics(*flags.metrics);
  if (flags.threads) config->mutable_pool()->set_threads(*flags.threads);
  if (flags.log_level) config->mutable_log()->set_level(*flags.log_level);
  if (flags.log_format) config->mutable_log()->set_format(*flags.log_format);
  if (flags.drain_timeout_seconds) config->set_drain_timeout_seconds(*flags.drain_timeout_seconds);
  if (flags.reflection) config->set_reflection(*flags.reflection);
  if (flags.packed_cache) config->mutable_packed_cache()->set_dir(*flags.packed_cache);
  const auto size = [&](const std::optional<std::string>& text, const char* flag) -> std::optional<uint64_t> {
    if (!text) return std::nullopt;
    const auto bytes = ParseSize(*text);
    if (!bytes) problems->push_back({0, flag, fmt::format("got \"{}\", wanted a size such as 512MiB", *text)});
    return bytes;
  };
  if (const auto bytes = size(flags.memory_budget, "--memory-budget")) config->set_memory_budget_bytes(*bytes);
  if (const auto bytes = size(flags.kv_bytes, "--kv-bytes")) {
    for (pb::ModelConfig& model : *config->mutable_models()) {
      for (pb::VariantConfig& variant : *model.mutable_variants()) variant.set_kv_bytes(*bytes);
    }
  }
}

StatusOr<ServerSettings> Build(pb::ServerConfig config, ConfigSource source, std::vector<ConfigProblem> problems,
                               const ConfigOverrides& overrides) {
  ApplyFlags(overrides, &config, &problems);
  ServerSettings settings = BuildSettings(config, source, &problems);
  if (problems.empty()) return settings;
  return MakeStatus(StatusCode::kInvalidArgument, FormatProblems(source, std::move(problems)));
}

}  // namespace

std::optional<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 3) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // IPv6 without brackets is ambiguous
  }
  int port = -1;
  const auto result = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (result.ec != std::errc() || result.ptr != port_text.data() + port_text.size()) return std::nullopt;
  if (port < 0 || port > 65535 || host.find_first_of(" /\t\n") != std::string_view::npos) return std::nullopt;
  return Address{std::string(host), port};
}

StatusOr<ServerSettings> ParseConfig(std::string_view text, const std::string& file, const ConfigOverrides& overrides) {
  pb::ServerConfig config;
  ConfigSource source{file, {}};
  std::vector<ConfigProblem> problems;
  ReadYaml(text, &config, &source, &problems);
  return Build(std::move(config), std::move(source), std::move(problems), overrides);
}

StatusOr<ServerSettings> LoadConfig(const std::string& path, const ConfigOverrides& overrides) {
  if (path.empty()) return Build({}, {"command line", {}}, {}, overrides);
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound("{}: cannot read the configuration file", path);
  // One byte past the limit is enough to know that the file is too large.
  std::string text(limits::kMaxConfigBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return ParseConfig(text, path, overrides);
}

}  // namespace bitrate
