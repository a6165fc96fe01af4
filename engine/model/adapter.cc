#include "engine/model/adapter.h"

#include <map>
#include <new>
#include <string_view>
#include <utility>

#include "engine/artifact/checked.h"
#include "engine/base/fingerprint.h"
#include "engine/model/architecture.h"

namespace bitrate {

class AdapterBuilder {
 public:
  AdapterBuilder(const PeftAdapter& source, const ModelConfig& config, const Backend& backend)
      : source_(source), config_(config), backend_(backend) {
    for (const LoraModule& module : source.modules) unused_.emplace(module.name, &module);
  }

  StatusOr<std::shared_ptr<const Adapter>> Build() {
    const Architecture* architecture = FindArchitecture(config_.architecture);
    const ModelTensorNames names = architecture->model_names();
    std::shared_ptr<Adapter> adapter(new Adapter());
    for (int64_t i = 0; i < config_.num_layers; ++i) {
      RETURN_IF_ERROR(
          BuildLayer(architecture->layer_names(i), config_.HasExperts(i), &adapter->layers_.emplace_back()));
    }
    RETURN_IF_ERROR(RefuseUnused(names));
    for (const AdapterLayer& layer : adapter->layers_) {
      for (const LowRankPtr& op : {layer.qkv, layer.o, layer.gate_up, layer.down}) {
        adapter->bytes_ += op == nullptr ? 0 : op->bytes();
      }
    }
    std::string identity;
    for (const LoraModule& module : source_.modules) {
      adapter->max_rank_ = std::max(adapter->max_rank_, module.rank);
      identity += fmt::format("{}|{}|{:a}|{}|{}|{}\n", module.name, module.rank, module.scale, Digest(module.a),
                              Digest(module.b), Digest(module.bias));
    }
    adapter->num_modules_ = static_cast<int>(source_.modules.size());
    adapter->id_ = Fingerprint(std::as_bytes(std::span(identity.data(), identity.size())));
    return std::shared_ptr<const Adapter>(std::move(adapter));
  }

 private:
  struct Site {
    const std::string& name;
    int64_t n;  // outputs
  };

  static std::string Digest(const std::vector<float>& values) {
    return Fingerprint(std::as_bytes(std::span<const float>(values)));
  }

  Status BuildLayer(const LayerTensorNames& names, bool has_experts, AdapterLayer* layer) {
    const ModelConfig& c = config_;
    const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim, inter = c.intermediate_size;
    ASSIGN_OR_RETURN(layer->qkv, c.fused_qkv ? BuildOp({{names.qkv, q + 2 * kv}}, c.hidden_size)
                                             : BuildOp({{names.q, q}, {names.k, kv}, {names.v, kv}}, c.hidden_size));
    ASSIGN_OR_RETURN(layer->o, BuildOp({{names.o, c.hidden_size}}, q));
    if (has_experts) return OkStatus();
    ASSIGN_OR_RETURN(layer->gate_up, c.fused_qkv ? BuildOp({{names.gate_up, 2 * inter}}, c.hidden_size)
                                                 : BuildOp({{names.gate, inter}, {names.up, inter}}, c.hidden_size));
    ASSIGN_OR_RETURN(layer->down, BuildOp({{names.down, c.hidden_size}}, inter));
    return OkStatus();
  }

  // The operator of the modules that there are; null where there is none.
  StatusOr<LowRankPtr> BuildOp(std::initializer_list<Site> sites, int64_t k) {
    std::vector<LowRankPart> parts;
    int64_t column = 0;
    for (const Site& site : sites) {
      ASSIGN_OR_RETURN(const LoraModule* module, Take(site, k));
      if (module != nullptr) {
        parts.push_back({module->a, module->b, module->bias, module->rank, module->n, column, module->scale});
      }
      column += site.n;
    }
    if (parts.empty()) return LowRankPtr();
    return backend_.PrepareLowRank(parts, k);
  }

  StatusOr<const LoraModule*> Take(const Site& site, int64_t k) {
    const auto it = unused_.find(site.name);
    if (it == unused_.end()) {
      ASSIGN_OR_RETURN(const bool targeted, source_.config.Targets(site.name));
      if (!targeted) return static_cast<const LoraModule*>(nullptr);
      return InvalidArgument("module {}: the adapter's config targets it, but the adapter has no tensors for it",
                             site.name);
    }
    const LoraModule* module = it->second;
    if (module->k != k || module->n != site.n) {
      return InvalidArgument("module {}: got lora_A [{}, {}] and lora_B [{}, {}], wanted [{}, {}] and [{}, {}]",
                             site.name, module->rank, module->k, module->n, module->rank, module->rank, k, site.n,
                             module->rank);
    }
    unused_.erase(it);
    return module;
  }

  Status RefuseUnused(const ModelTensorNames& names) const {
    if (unused_.empty()) {
      ASSIGN_OR_RETURN(const bool head, source_.config.Targets(names.head));
      if (!head) return OkStatus();
      return FailedPrecondition(
          "module {}: the adapter's config targets it, and adapters of the head are not supported", names.head);
    }
    const std::string_view name = unused_.begin()->first;
    if (name == names.head || name == names.embedding) {
      return FailedPrecondition("module {}: adapters of head and embedding are not supported", name);
    }
    if (config_.num_experts > 0 && (name.find(".experts.") != name.npos || name.ends_with(".gate"))) {
      return FailedPrecondition("module {}: adapters of experts and of their router are not supported",
                                Printable(name));
    }
    return InvalidArgument("module {}: the model ({}, {} layers) has no such linear layer", Printable(name),
                           config_.architecture, config_.num_layers);
  }

  const PeftAdapter& source_;
  const ModelConfig& config_;
  const Backend& backend_;
  std::map<std::string_view, const LoraModule*> unused_;
};

StatusOr<std::shared_ptr<const Adapter>> Adapter::Prepare(const PeftAdapter& source, const ModelConfig& config,
                                                          const Backend& backend) {
  try {
    auto adapter = AdapterBuilder(source, config, backend).Build();
    if (!adapter.ok()) return Annotate(adapter.status(), "adapter " + source.path);
    return adapter;
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("adapter {}: out of memory", source.path);
  }
}

}  // namespace bitrate
