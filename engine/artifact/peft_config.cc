#include "engine/artifact/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "engine/artifact/checked.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/base/regex.h"

namespace bitrate {
namespace {

using nlohmann::json;

// A list of names, or a pattern; neither where the field is null.
struct ModuleFilter {
  std::vector<std::string> names;
  std::optional<Regex> pattern;
  bool all_linear = false;
};

template <typename T>
struct PatternValue {
  Regex pattern;
  T value;
};

}  // namespace

struct PeftConfig::Fields {
  int64_t rank = 0;
  double alpha = 0;
  bool use_rslora = false;
  bool has_bias = false;
  ModuleFilter target, exclude;
  std::vector<int64_t> layers;         // empty = all
  std::vector<Regex> layers_patterns;  // group 1 is the number
  std::vector<PatternValue<int64_t>> ranks;
  std::vector<PatternValue<double>> alphas;
};

namespace {

StatusOr<Regex> CompilePattern(std::string_view field, std::string_view pattern, std::string_view before,
                               std::string_view behind, Regex::Mode mode) {
  if (pattern.size() > limits::kMaxPatternBytes) {
    return InvalidArgument("{}: a pattern of {} bytes, wanted at most {}", field, pattern.size(),
                           limits::kMaxPatternBytes);
  }
  StatusOr<Regex> regex = Regex::Compile(fmt::format("{}{}{}", before, pattern, behind), mode);
  if (!regex.ok()) return Annotate(regex.status(), fmt::format("{}: \"{}\"", field, Printable(pattern)));
  return regex;
}

StatusOr<bool> Matches(const Regex& regex, std::string_view module) {
  RegexScratch scratch;
  StatusOr<Regex::Match> match = regex.Find(module, 0, &scratch);
  if (!match.ok()) return Annotate(match.status(), fmt::format("module {}", Printable(module)));
  return match->found;
}

bool NamedBy(const std::vector<std::string>& names, std::string_view module) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return module == name ||
           (module.size() > name.size() && module.ends_with(name) && module[module.size() - name.size() - 1] == '.');
  });
}

// Is the value nothing: null, false, 0, "" or empty?
bool IsNothing(const json& value) {
  if (value.is_number()) return value == 0;
  return value.is_null() || value == json(false) || ((value.is_structured() || value.is_string()) && value.empty()) ||
         (value.is_string() && value.get_ref<const std::string&>().empty());
}

// Fields that change nothing in a forward pass, or that other functions here read.
constexpr std::array kKnownFields = {"alpha_pattern",
                                     "auto_mapping",
                                     "base_model_name_or_path",
                                     "bias",
                                     "ensure_weight_tying",
                                     "eva_config",
                                     "corda_config",
                                     "exclude_modules",
                                     "inference_mode",
                                     "init_lora_weights",
                                     "layers_pattern",
                                     "layers_to_transform",
                                     "loftq_config",
                                     "lora_alpha",
                                     "lora_bias",
                                     "lora_dropout",
                                     "lora_ga_config",
                                     "megatron_core",
                                     "peft_type",
                                     "peft_version",
                                     "qalora_group_size",
                                     "r",
                                     "rank_pattern",
                                     "revision",
                                     "runtime_config",
                                     "target_modules",
                                     "task_type",
                                     "use_rslora"};

constexpr std::string_view kUnsupported[][2] = {
    {"use_dora", "DoRA scales by the norm of the merged weight"},
    {"modules_to_save", "it replaces whole modules of the base model"},
    {"trainable_token_indices", "it replaces rows of the embedding"},
    {"target_parameters", "it changes parameters that are no linear layers"},
    {"layer_replication", "it changes the layers of the base model"},
    {"fan_in_fan_out", "it is for transposed layers, which no supported architecture has"},
    {"alora_invocation_tokens", "the adapter would be on for a part of the prompt only"},
    {"use_qalora", "it pools the inputs of lora_A"},
    {"use_bdlora", "lora_A or lora_B would be block-diagonal"},
    {"megatron_config", "the layers are split over processes"},
};

Status RefuseUnsupported(const json& config) {
  for (const auto& [field, why] : kUnsupported) {
    const json* value = FindField(config, field);
    if (value == nullptr || IsNothing(*value)) continue;
    return FailedPrecondition("{}: got {}, which is not supported: {}", field, Printable(JsonToText(*value)), why);
  }
  for (const auto& [field, value] : config.items()) {
    const bool known = std::find(kKnownFields.begin(), kKnownFields.end(), field) != kKnownFields.end();
    if (known || IsNothing(value)) continue;
    const bool listed = std::any_of(std::begin(kUnsupported), std::end(kUnsupported),
                                    [&, name = std::string_view(field)](const auto& row) { return row[0] == name; });
    if (listed) continue;
    return FailedPrecondition("{}: got {}; this server does not know the field, so it would be ignored",
                              Printable(field), Printable(JsonToText(value)));
  }
  return OkStatus();
}

// A string field that must be absent or one of `wanted`.
Status WantString(const json& config, std::string_view field, std::string_view wanted) {
  ASSIGN_OR_RETURN(const std::optional<std::string> value, FindString(config, field));
  if (!value || *value == wanted) return OkStatus();
  return FailedPrecondition("{}: got \"{}\", wanted \"{}\"", field, Printable(*value), wanted);
}

Status CheckKind(const json& config) {
  if (FindField(config, "peft_type") == nullptr) return InvalidArgument("peft_type: missing, wanted \"LORA\"");
  RETURN_IF_ERROR(WantString(config, "peft_type", "LORA"));
  RETURN_IF_ERROR(WantString(config, "task_type", "CAUSAL_LM"));
  RETURN_IF_ERROR(WantString(config, "bias", "none"));
  const json* init = FindField(config, "init_lora_weights");
  if (init == nullptr || init->is_boolean() || *init == "gaussian" || *init == "eva" || *init == "orthogonal") {
    return OkStatus();
  }
  // PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA take something out of the base weights when they begin.
  return FailedPrecondition(
      "init_lora_weights: got {}, whose adapters belong to a changed base model; wanted true, false, \"gaussian\", "
      "\"eva\" or \"orthogonal\" (PEFT converts such adapters when it saves them)",
      Printable(JsonToText(*init)));
}

StatusOr<std::vector<std::string>> ReadNames(const json& list, std::string_view field) {
  if (list.size() > limits::kMaxAdapterPatterns) {
    return InvalidArgument("{}: got {} entries, wanted at most {}", field, list.size(), limits::kMaxAdapterPatterns);
  }
  std::vector<std::string> names;
  for (const json& entry : list) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().empty()) {
      return InvalidArgument("{}: got {}, wanted names", field, Printable(JsonToText(entry)));
    }
    names.push_back(entry.get<std::string>());
  }
  return names;
}

Status ReadFilter(const json& config, std::string_view field, ModuleFilter* out) {
  const json* value = FindField(config, field);
  if (value == nullptr) return OkStatus();
  if (value->is_array()) {
    ASSIGN_OR_RETURN(out->names, ReadNames(*value, field));
    return OkStatus();
  }
  if (!value->is_string()) {
    return InvalidArgument("{}: got {}, wanted a list or a pattern", field, Printable(JsonToText(*value)));
  }
  const std::string& text = value->get_ref<const std::string&>();
  out->all_linear = field == "target_modules" && text == "all-linear";
  if (out->all_linear) return OkStatus();
  ASSIGN_OR_RETURN(out->pattern, CompilePattern(field, text, "", "", Regex::Mode::kWhole));
  return OkStatus();
}

Status ReadLayers(const json& config, PeftConfig::Fields* out) {
  if (const json* layers = FindField(config, "layers_to_transform"); layers != nullptr) {
    const json list = layers->is_array() ? *layers : json::array({*layers});
    if (list.size() > static_cast<size_t>(limits::kMaxLayers)) {
      return InvalidArgument("layers_to_transform: got {} layers, wanted at most {}", list.size(), limits::kMaxLayers);
    }
    for (const json& entry : list) {
      ASSIGN_OR_RETURN(const int64_t layer, JsonToInt(entry, "layers_to_transform"));
      out->layers.push_back(layer);
    }
  }
  if (out->layers.empty()) return OkStatus();
  if (out->target.names.empty()) {
    return InvalidArgument("layers_to_transform: wanted only beside target_modules as a list");
  }
  std::vector<std::string> patterns;
  if (const json* value = FindField(config, "layers_pattern"); value != nullptr && value->is_array()) {
    ASSIGN_OR_RETURN(patterns, ReadNames(*value, "layers_pattern"));
  } else if (value != nullptr) {
    ASSIGN_OR_RETURN(const std::string one, GetString(config, "layers_pattern"));
    if (!one.empty()) patterns.push_back(one);
  }
  if (patterns.empty()) patterns.emplace_back("[^.]*");
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(Regex regex,
                     CompilePattern("layers_pattern", pattern, ".*\\.", "\\.(\\d+)\\.", Regex::Mode::kStart));
    out->layers_patterns.push_back(std::move(regex));
  }
  return OkStatus();
}

// The keys of the object at `field`, in the order of the text: the order in which PEFT tries them.
std::vector<std::string> KeysInOrder(std::string_view text, std::string_view field) {
  std::vector<std::string> keys;
  bool inside = false;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    if (event != json::parse_event_t::key) return true;
    if (depth == 1) inside = value == field;
    if (depth == 2 && inside) keys.push_back(value.get<std::string>());
    return true;
  };
  const json parsed = json::parse(text, callback, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? std::vector<std::string>() : keys;
}

// {"pattern": value, ...}
template <typename T, typename Read>
Status ReadPatterns(const json& config, std::string_view text, std::string_view field, const Read& read,
                    std::vector<PatternValue<T>>* out) {
  ASSIGN_OR_RETURN(const json* object, FindObject(config, field));
  if (object == nullptr || object->empty()) return OkStatus();
  if (object->size() > limits::kMaxAdapterPatterns) {
    return InvalidArgument("{}: got {} entries, wanted at most {}", field, object->size(), limits::kMaxAdapterPatterns);
  }
  std::set<std::string> seen;
  for (const std::string& key : KeysInOrder(text, field)) {
    const auto it = object->find(key);
    if (it == object->end() || !seen.insert(key).second) continue;
    ASSIGN_OR_RETURN(Regex regex, CompilePattern(field, key, "(?:.*\\.)?(?:", ")$", Regex::Mode::kStart));
    ASSIGN_OR_RETURN(const T number, read(*it, fmt::format("{}[\"{}\"]", field, Printable(key))));
    out->push_back({std::move(regex), number});
  }
  return OkStatus();
}

StatusOr<int64_t> ReadRank(const json& value, std::string_view what) {
  ASSIGN_OR_RETURN(const int64_t rank, JsonToInt(value, what));
  if (rank >= 1 && rank <= limits::kMaxAdapterRank) return rank;
  return InvalidArgument("{}: got {}, wanted 1 to {}", what, rank, limits::kMaxAdapterRank);
}

StatusOr<double> ReadAlpha(const json& value, std::string_view what) {
  ASSIGN_OR_RETURN(const double alpha, JsonToFloat(value, what));
  if (std::abs(alpha) <= 1e6) return alpha;
  return InvalidArgument("{}: got {}, wanted at most 1e6", what, alpha);
}

template <typename T>
StatusOr<T> ValueOf(const std::vector<PatternValue<T>>& patterns, std::string_view module, T otherwise) {
  for (const PatternValue<T>& entry : patterns) {
    ASSIGN_OR_RETURN(const bool found, Matches(entry.pattern, module));
    if (found) return entry.value;
  }
  return otherwise;
}

Status ReadNumbers(const json& config, std::string_view text, PeftConfig::Fields* out) {
  const json* rank = FindField(config, "r");
  if (rank == nullptr) return InvalidArgument("r: missing, wanted the rank");
  ASSIGN_OR_RETURN(out->rank, ReadRank(*rank, "r"));
  const json* alpha = FindField(config, "lora_alpha");
  if (alpha == nullptr) return InvalidArgument("lora_alpha: missing, wanted a number");
  ASSIGN_OR_RETURN(out->alpha, ReadAlpha(*alpha, "lora_alpha"));
  ASSIGN_OR_RETURN(const std::optional<bool> rslora, FindBool(config, "use_rslora"));
  ASSIGN_OR_RETURN(const std::optional<bool> bias, FindBool(config, "lora_bias"));
  out->use_rslora = rslora.value_or(false);
  out->has_bias = bias.value_or(false);
  RETURN_IF_ERROR(ReadPatterns<int64_t>(config, text, "rank_pattern", ReadRank, &out->ranks));
  return ReadPatterns<double>(config, text, "alpha_pattern", ReadAlpha, &out->alphas);
}

}  // namespace

StatusOr<PeftConfig> PeftConfig::Parse(std::string_view text) {
  ASSIGN_OR_RETURN(const json config, ParseJson(text, "the file"));
  if (!config.is_object()) return InvalidArgument("got a JSON {}, wanted an object", config.type_name());
  RETURN_IF_ERROR(CheckKind(config));
  RETURN_IF_ERROR(RefuseUnsupported(config));
  auto fields = std::make_shared<Fields>();
  RETURN_IF_ERROR(ReadNumbers(config, text, fields.get()));
  RETURN_IF_ERROR(ReadFilter(config, "target_modules", &fields->target));
  RETURN_IF_ERROR(ReadFilter(config, "exclude_modules", &fields->exclude));
  if (fields->target.names.empty() && !fields->target.pattern && !fields->target.all_linear) {
    return InvalidArgument("target_modules: got nothing, wanted names or a pattern");
  }
  RETURN_IF_ERROR(ReadLayers(config, fields.get()));
  return PeftConfig(std::move(fields));
}

StatusOr<bool> PeftConfig::Targets(std::string_view module) const {
  const Fields& f = *fields_;
  if (NamedBy(f.exclude.names, module)) return false;
  if (f.exclude.pattern) {
    ASSIGN_OR_RETURN(const bool excluded, Matches(*f.exclude.pattern, module));
    if (excluded) return false;
  }
  if (f.target.pattern) return Matches(*f.target.pattern, module);
  if (f.target.all_linear) return module != "lm_head";
  if (std::find(f.target.names.begin(), f.target.names.end(), module) != f.target.names.end()) return true;
  if (!NamedBy(f.target.names, module)) return false;
  if (f.layers.empty()) return true;
  for (const Regex& pattern : f.layers_patterns) {
    RegexScratch scratch;
    ASSIGN_OR_RETURN(const Regex::Match match, pattern.Find(module, 0, &scratch));
    if (!match.found) continue;
    const std::string_view digits = module.substr(match.group_begin, match.group_end - match.group_begin);
    return std::any_of(f.layers.begin(), f.layers.end(),
                       [&](int64_t layer) { return digits == std::to_string(layer); });
  }
  return false;
}

StatusOr<int64_t> PeftConfig::RankOf(std::string_view module) const {
  return ValueOf(fields_->ranks, module, fields_->rank);
}

StatusOr<float> PeftConfig::ScaleOf(std::string_view module) const {
  ASSIGN_OR_RETURN(const int64_t rank, RankOf(module));
  ASSIGN_OR_RETURN(const double alpha, ValueOf(fields_->alphas, module, fields_->alpha));
  const auto r = static_cast<double>(rank);
  return static_cast<float>(alpha / (fields_->use_rslora ? std::sqrt(r) : r));
}

bool PeftConfig::has_bias() const { return fields_->has_bias; }

}  // namespace bitrate
