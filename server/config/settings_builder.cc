#include "server/config/settings_builder.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "bitrate/config/v1/config.pb.h"
#include "engine/base/limits.h"
#include "engine/format/precision.h"
#include "server/config/config.h"

namespace bitrate {
namespace {

namespace pb = config::v1;

constexpr double kMaxSeconds = 86400;              // a day; longer is a typing error
constexpr uint64_t kMaxMessageBytes = 2147483647;  // what gRPC's int takes

// Names go into selectors ("model:variant", "model+adapter"), metrics and health services.
bool IsName(const std::string& name) {
  if (name.empty() || name.size() > limits::kMaxIdBytes) return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c < 128 && (std::isalnum(c) || c == '.' || c == '_' || c == '-'); });
}

std::string JoinNames(const std::vector<VariantSettings>& variants) {
  std::string names;
  for (const VariantSettings& variant : variants) names += (names.empty() ? "" : ", ") + variant.name;
  return names;
}

// $NAME, ${NAME} and ${NAME:-otherwise}; false when a variable is not set (its name is in *missing).
bool ExpandEnvironment(const std::string& text, std::string* out, std::string* missing) {
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      *out += text[i++];
      continue;
    }
    const bool braces = i + 1 < text.size() && text[i + 1] == '{';
    const size_t begin = i + (braces ? 2 : 1);
    size_t end = begin;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
    const std::string name = text.substr(begin, end - begin);
    const size_t close = braces ? text.find('}', end) : end;
    const bool has_default = braces && text.compare(end, 2, ":-") == 0;
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    *missing = name;
    if (close == std::string::npos || (braces && !has_default && close != end)) return false;
    if (value != nullptr && *value != '\0') {
      *out += value;
    } else if (has_default) {
      *out += text.substr(end + 2, close - end - 2);
    } else {
      return false;
    }
    i = close + (braces ? 1 : 0);
  }
  return true;
}

class Builder {
 public:
  Builder(const pb::ServerConfig& config, const ConfigSource& source, std::vector<ConfigProblem>* problems)
      : config_(config), source_(source), problems_(problems) {}

  ServerSettings Build() {
    BuildListen();
    BuildSecurity();
    BuildModels();
    BuildRouting();
    BuildResources();
    BuildPrices();
    BuildLog();
    return std::move(out_);
  }

 private:
  // A value that was of the wrong type is missing here; it has been reported once already.
  void Report(const std::string& path, std::string description) {
    if (std::any_of(problems_->begin(), problems_->end(), [&](const ConfigProblem& p) { return p.path == path; }))
      return;
    problems_->push_back({source_.LineOf(path), path, std::move(description)});
  }

  template <typename T>
  void Set(bool has, T value, T low, T high, const std::string& path, T* out) {
    if (!has) return;
    if (!(value >= low && value <= high)) return Report(path, fmt::format("got {}, wanted {} to {}", value, low, high));
    *out = value;
  }

  Address ReadAddress(const std::string& text, const std::string& path, const Address& fallback) {
    const auto address = ParseAddress(text);
    if (address) return *address;
    Report(path, fmt::format("got \"{}\", wanted HOST:PORT", text));
    return fallback;
  }

  void BuildListen() {
    const pb::ListenConfig& listen = config_.listen();
    if (listen.has_grpc()) out_.grpc = ReadAddress(listen.grpc(), "listen.grpc", out_.grpc);
    if (listen.has_admin()) out_.admin = ReadAddress(listen.admin(), "listen.admin", out_.admin);
    if (listen.has_metrics() && listen.metrics().empty()) {
      out_.metrics.reset();
    } else if (listen.has_metrics()) {
      out_.metrics = ReadAddress(listen.metrics(), "listen.metrics", *out_.metrics);
    }
    const auto clash = [](const Address& a, const Address& b) {
      return a.port != 0 && a.port == b.port && a.host == b.host;
    };
    if (clash(out_.grpc, out_.admin)) Report("listen.admin", "the address is listen.grpc's already");
    if (out_.metrics && (clash(out_.grpc, *out_.metrics) || clash(out_.admin, *out_.metrics))) {
      Report("listen.metrics", "the address is taken by another listener of this file");
    }
  }

  void BuildSecurity() {
    const pb::TlsConfig& tls = config_.tls();
    out_.tls = {tls.cert_file(), tls.key_file(), tls.client_ca_file()};
    if (tls.cert_file().empty() != tls.key_file().empty())
      Report("tls", "wanted both cert_file and key_file, or neither");
    if (!tls.client_ca_file().empty() && tls.cert_file().empty()) {
      Report("tls.client_ca_file", "wanted cert_file and key_file beside it");
    }
    out_.api_key_file = config_.auth().api_key_file();
    out_.api_key_env = config_.auth().api_key_env();
    if (!out_.api_key_file.empty() && !out_.api_key_env.empty()) {
      Report("auth", "wanted api_key_file or api_key_env, got both");
    }
  }

  void BuildModels() {
    if (config_.models().empty()) Report("models", "got none, wanted at least one model");
    std::set<std::string> names;
    int num_variants = 0;
    for (int i = 0; i < config_.models_size(); ++i) {
      const std::string path = fmt::format("models[{}]", i);
      ModelSettings model = BuildModel(config_.models(i), path);
      num_variants += static_cast<int>(model.variants.size());
      if (!model.name.empty() && !names.insert(model.name).second) {
        Report(path + ".name", fmt::format("\"{}\" is the name of an earlier model", model.name));
      }
      out_.models.push_back(std::move(model));
    }
    if (num_variants > limits::kMaxVariants) {
      Report("models", fmt::format("got {} variants, wanted at most {}", num_variants, limits::kMaxVariants));
    }
    if (config_.has_default_model()) {
      out_.default_model = config_.default_model();
      if (!names.contains(out_.default_model)) {
        Report("default_model", fmt::format("there is no model \"{}\"", out_.default_model));
      }
    } else if (out_.models.size() == 1) {
      out_.default_model = out_.models[0].name;
    }
  }

  ModelSettings BuildModel(const pb::ModelConfig& config, const std::string& path) {
    ModelSettings model;
    model.name = config.name();
    if (!IsName(model.name)) {
      Report(path + ".name", fmt::format("got \"{}\", wanted letters, digits, '.', '_' or '-'", model.name));
    }
    std::string missing;
    if (config.path().empty()) {
      Report(path + ".path", "got nothing, wanted a GGUF file or a model folder");
    } else if (!ExpandEnvironment(config.path(), &model.path, &missing)) {
      Report(path + ".path", fmt::format("the environment has no variable \"{}\"", missing));
    }
    if (config.variants().empty()) Report(path + ".variants", "got none, wanted at least one variant");
    std::set<std::string> names;
    for (int i = 0; i < config.variants_size(); ++i) {
      const std::string variant_path = fmt::format("{}.variants[{}]", path, i);
      model.variants.push_back(BuildVariant(config.variants(i), variant_path));
      if (!names.insert(model.variants.back().name).second) {
        Report(variant_path, fmt::format("\"{}\" is the name of an earlier variant", model.variants.back().name));
      }
    }
    if (!model.variants.empty()) model.default_variant = model.variants[0].name;
    if (config.has_default_variant()) model.default_variant = config.default_variant();
    model.reference_variant = config.reference_variant();
    if (config.has_default_variant() && !names.contains(config.default_variant())) {
      Report(path + ".default_variant",
             fmt::format("got \"{}\", wanted one of: {}", config.default_variant(), JoinNames(model.variants)));
    }
    if (config.has_reference_variant() && !names.contains(config.reference_variant())) {
      Report(path + ".reference_variant",
             fmt::format("got \"{}\", wanted one of: {}", config.reference_variant(), JoinNames(model.variants)));
    }
    model.adapters = BuildAdapters(config, path);
    return model;
  }

  std::vector<AdapterSettings> BuildAdapters(const pb::ModelConfig& config, const std::string& model_path) {
    std::vector<AdapterSettings> adapters;
    std::set<std::string> names;
    const auto count = static_cast<size_t>(config.adapters_size());
    if (count > limits::kMaxAdapters) {
      Report(model_path + ".adapters", fmt::format("got {}, wanted at most {}", count, limits::kMaxAdapters));
      return adapters;
    }
    for (const pb::AdapterConfig& in : config.adapters()) {
      const std::string path = fmt::format("{}.adapters[{}]", model_path, adapters.size());
      AdapterSettings& adapter = adapters.emplace_back();
      adapter.name = in.name();
      if (!IsName(adapter.name)) {
        Report(path + ".name", fmt::format("got \"{}\", wanted letters, digits, '.', '_' or '-'", adapter.name));
      } else if (!names.insert(adapter.name).second) {
        Report(path + ".name", fmt::format("\"{}\" is the name of an earlier adapter", adapter.name));
      }
      std::string missing;
      if (in.path().empty()) {
        Report(path + ".path", "got nothing, wanted a PEFT folder");
      } else if (!ExpandEnvironment(in.path(), &adapter.path, &missing)) {
        Report(path + ".path", fmt::format("the environment has no variable \"{}\"", missing));
      }
    }
    return adapters;
  }

  VariantSettings BuildVariant(const pb::VariantConfig& config, const std::string& path) {
    VariantSettings v;
    v.precision = config.precision();
    v.name = config.has_name() ? config.name() : config.precision();
    if (const auto precision = Precision::Parse(v.precision); !precision.ok()) {
      Report(path + ".precision", std::string(ToStd(precision.status().message())));
    } else if (!IsName(v.name)) {
      Report(path + ".name", fmt::format("got \"{}\", wanted letters, digits, '.', '_' or '-'", v.name));
    }
    if (config.has_device()) v.device = config.device();
    if (v.device != "cpu") Report(path + ".device", fmt::format("got \"{}\", wanted cpu", v.device));
    Set(config.has_pool_weight(), config.pool_weight(), 0.01, 100.0, path + ".pool_weight", &v.pool_weight);
    Set(config.has_max_sequences(), config.max_sequences(), 1, 4096, path + ".max_sequences", &v.max_sequences);
    Set(config.has_max_step_tokens(), config.max_step_tokens(), 1, 65536, path + ".max_step_tokens",
        &v.max_step_tokens);
    Set(config.has_step_budget_ms(), config.step_budget_ms(), 0.0, 60000.0, path + ".step_budget_ms",
        &v.step_budget_ms);
    Set(config.has_max_queue(), config.max_queue(), 1, 1 << 20, path + ".max_queue", &v.max_queue);
    Set<int64_t>(config.has_max_queue_tokens(), config.max_queue_tokens(), 1, int64_t{1} << 32,
                 path + ".max_queue_tokens", &v.max_queue_tokens);
    Set<uint64_t>(config.has_kv_bytes(), config.kv_bytes(), 1, uint64_t{1} << 46, path + ".kv_bytes", &v.kv_bytes);
    Set<int64_t>(config.has_max_context(), config.max_context(), 1, limits::kMaxContext, path + ".max_context",
                 &v.max_context);
    v.int8_kv = config.kv_cache() == "int8";
    if (config.has_kv_cache() && config.kv_cache() != "auto" && !v.int8_kv) {
      Report(path + ".kv_cache", fmt::format("got \"{}\", wanted auto or int8", config.kv_cache()));
    }
    if (config.has_prefix_cache()) v.prefix_cache = config.prefix_cache();
    if (config.has_load()) v.load = config.load();
    return v;
  }

  void BuildRouting() {
    for (const pb::RoutingRuleConfig& config : config_.routing()) {
      RoutingRule rule;
      rule.model = config.model();
      if (rule.model.empty()) rule.model = out_.default_model;
      rule.experiment = config.experiment();
      rule.salt = config.salt();
      for (const pb::RoutingArmConfig& arm : config.arms()) {
        rule.arms.push_back({arm.name(), arm.variant(), arm.weight()});
      }
      rule.fallback.assign(config.fallback().begin(), config.fallback().end());
      out_.routing.rules.push_back(std::move(rule));
    }
    std::vector<RoutableModel> models;
    for (const ModelSettings& model : out_.models) {
      RoutableModel routable{model.name, model.default_variant, {}};
      for (const VariantSettings& variant : model.variants) routable.variants.push_back(variant.name);
      models.push_back(std::move(routable));
    }
    for (const PolicyProblem& problem : ValidatePolicy(models, out_.routing)) {
      // "rules[0].arms" of a policy is "routing[0].arms" of the file.
      Report("routing" + problem.field.substr(std::string("rules").size()), problem.description);
    }
  }

  void BuildResources() {
    out_.state_file = config_.state_file();
    Set(config_.pool().has_threads(), config_.pool().threads(), 1, 1024, "pool.threads", &out_.pool_threads);
    if (config_.pool().has_pin()) out_.pool_pin = config_.pool().pin();
    if (config_.has_memory_budget_bytes()) out_.memory_budget_bytes = config_.memory_budget_bytes();
    BuildPackedCache();
    const pb::LimitsConfig& l = config_.limits();
    LimitSettings& out = out_.limits;
    Set<uint64_t>(l.has_max_message_bytes(), l.max_message_bytes(), 1024, kMaxMessageBytes, "limits.max_message_bytes",
                  &out.max_message_bytes);
    Set<uint64_t>(l.has_max_stream_buffer_bytes(), l.max_stream_buffer_bytes(), 4096, uint64_t{1} << 32,
                  "limits.max_stream_buffer_bytes", &out.max_stream_buffer_bytes);
    Set(l.has_max_concurrent_streams(), l.max_concurrent_streams(), 1, 1 << 20, "limits.max_concurrent_streams",
        &out.max_concurrent_streams);
    Set(l.has_max_in_flight(), l.max_in_flight(), 1, 1 << 20, "limits.max_in_flight", &out.max_in_flight);
    Set(l.has_frontend_threads(), l.frontend_threads(), 1, 64, "limits.frontend_threads", &out.frontend_threads);
    Set(l.has_max_connection_age_seconds(), l.max_connection_age_seconds(), 0.0, kMaxSeconds,
        "limits.max_connection_age_seconds", &out.max_connection_age_seconds);
    Set(config_.has_drain_timeout_seconds(), config_.drain_timeout_seconds(), 0.0, kMaxSeconds, "drain_timeout_seconds",
        &out_.drain_timeout_seconds);
    Set(config_.has_liveness_timeout_seconds(), config_.liveness_timeout_seconds(), 1.0, kMaxSeconds,
        "liveness_timeout_seconds", &out_.liveness_timeout_seconds);
    if (config_.has_reflection()) out_.reflection = config_.reflection();
  }

  void BuildPackedCache() {
    if (!config_.has_packed_cache()) return;
    const pb::PackedCacheConfig& cache = config_.packed_cache();
    std::string missing;
    if (cache.dir().empty()) {
      Report("packed_cache.dir", "got nothing, wanted a folder");
    } else if (!ExpandEnvironment(cache.dir(), &out_.packed_cache.dir, &missing)) {
      Report("packed_cache.dir", fmt::format("the environment has no variable \"{}\"", missing));
    }
    out_.packed_cache.huge_pages = cache.huge_pages();
  }

  void BuildPrices() {
    if (!config_.has_prices()) return;
    const pb::PricesConfig& prices = config_.prices();
    const std::string& currency = prices.currency();
    const bool letters = currency.size() == 3 &&
                         std::all_of(currency.begin(), currency.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!letters)
      Report("prices.currency", fmt::format("got \"{}\", wanted three capital letters (ISO 4217)", currency));
    out_.prices.currency = currency;
    out_.prices.pricing_version = prices.pricing_version();
    Set(prices.has_core_hour(), prices.core_hour(), 0.0, 1e6, "prices.core_hour", &out_.prices.core_hour);
    Set(prices.has_gib_hour(), prices.gib_hour(), 0.0, 1e6, "prices.gib_hour", &out_.prices.gib_hour);
  }

  void BuildLog() {
    static const std::set<std::string> kLevels = {"trace", "debug", "info", "warn", "error"};
    if (config_.log().has_level()) out_.log_level = config_.log().level();
    if (!kLevels.contains(out_.log_level)) {
      Report("log.level", fmt::format("got \"{}\", wanted trace, debug, info, warn or error", out_.log_level));
    }
    const std::string& format = config_.log().format();
    if (config_.log().has_format() && format != "text" && format != "json") {
      Report("log.format", fmt::format("got \"{}\", wanted text or json", format));
    }
    out_.log_json = format == "json";
  }

  const pb::ServerConfig& config_;
  const ConfigSource& source_;
  std::vector<ConfigProblem>* problems_;
  ServerSettings out_;
};

}  // namespace

ServerSettings BuildSettings(const pb::ServerConfig& config, const ConfigSource& source,
                             std::vector<ConfigProblem>* problems) {
  return Builder(config, source, problems).Build();
}

}  // namespace bitrate
