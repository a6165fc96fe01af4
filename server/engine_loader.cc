#include "server/engine_loader.h"

#include <malloc.h>

#include <algorithm>
#include <optional>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/peft_adapter.h"
#include "engine/artifact/tensor_cache.h"
#include "engine/backend/backend.h"
#include "engine/model/adapter.h"
#include "engine/model/decoder_model.h"
#include "engine/model/memory_estimate.h"
#include "engine/model/model_config.h"
#include "engine/model/source_fingerprints.h"
#include "engine/model/weight_store.h"
#include "engine/model_source/tokenizer_loader.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace bitrate {
namespace {

constexpr uint64_t kDefaultMaxKvBytes = uint64_t{1} << 30;  // as InstanceOptions::kv_bytes says

std::optional<DType> KvDType(const VariantSettings& settings) {
  return settings.int8_kv ? std::optional(DType::kI8) : std::nullopt;
}

uint64_t KvBytesPerToken(const ModelConfig& config, const Precision& precision, const VariantSettings& settings) {
  const KvGeometry kv = DecoderModel::KvGeometryFor(config, precision, KvDType(settings));
  return kv.BlockBytes() / static_cast<uint64_t>(kv.block_tokens);
}

// The pool for work that is no engine's: a turn for each Run, so that loading a variant takes its fair share of the
// cores and the steps of serving variants come in between.
class TurnParallel final : public Parallel {
 public:
  TurnParallel(ComputePool* pool, std::string name) : pool_(pool), client_(pool->Register(std::move(name))) {}
  ~TurnParallel() override { pool_->Unregister(client_); }
  int num_workers() const override { return pool_->num_workers(); }
  void Run(absl::FunctionRef<void(int worker)> fn) override {
    ComputePool::Lease lease = pool_->Acquire(client_);
    lease.Run(fn);
  }

 private:
  ComputePool* const pool_;
  const ComputePool::ClientId client_;
};

class EngineLoader final : public ModelLoader {
 public:
  EngineLoader(ComputePool* pool, const Clock* clock, std::shared_ptr<TensorCache> cache,
               std::unique_ptr<Backend> backend)
      : pool_(pool), clock_(clock), cache_(std::move(cache)), backend_(std::move(backend)) {}

  StatusOr<std::shared_ptr<const ModelResources>> Open(const ModelSettings& settings) override {
    auto model = std::make_shared<ModelResources>();
    model->name = settings.name;
    ASSIGN_OR_RETURN(model->checkpoint, Checkpoint::Open(settings.path));
    ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(model->checkpoint->config()));
    model->architecture = config.architecture;
    model->digest = model->checkpoint->digest();
    model->vocab_size = config.vocab_size;
    model->max_context = config.max_positions;
    model->eos_ids = config.eos_ids;
    ASSIGN_OR_RETURN(model->tokenizer, LoadTokenizer(*model->checkpoint));
    if (model->tokenizer != nullptr) {
      ASSIGN_OR_RETURN(model->chat_template, LoadChatTemplate(*model->checkpoint, *model->tokenizer));
    }
    model->weights = std::make_shared<WeightStore>();
    model->fingerprints = std::make_shared<SourceFingerprints>();
    if (cache_ != nullptr) {
      InlineParallel alone;
      model->source_identity = model->checkpoint->source_identity(std::chrono::system_clock::now());
      model->fingerprints->LoadFrom(*cache_, model->source_identity, alone);
    }
    return std::shared_ptr<const ModelResources>(std::move(model));
  }

  StatusOr<MemoryEstimate> Estimate(const ModelResources& model, const VariantSettings& settings) override {
    ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(model.checkpoint->config()));
    ASSIGN_OR_RETURN(const Precision precision, Precision::Parse(settings.precision));
    MemoryEstimate estimate;
    estimate.weights = EstimateWeightBytes(*model.checkpoint, config, precision);
    const uint64_t context =
        static_cast<uint64_t>(settings.max_context > 0 ? settings.max_context : config.max_positions);
    const uint64_t all =
        context * static_cast<uint64_t>(settings.max_sequences) * KvBytesPerToken(config, precision, settings);
    estimate.kv = settings.kv_bytes > 0 ? settings.kv_bytes : std::min(all, kDefaultMaxKvBytes);
    return estimate;
  }

  StatusOr<LoadedVariant> Load(const ModelResources& model, const VariantSettings& settings, InstanceObserver* observer,
                               const ProgressFn& progress) override {
    ASSIGN_OR_RETURN(const Precision precision, Precision::Parse(settings.precision));
    ASSIGN_OR_RETURN(const std::shared_ptr<const DecoderModel> decoder,
                     LoadDecoder(model, settings, precision, progress));
    InstanceOptions options;
    options.name = model.name + ":" + settings.name;
    options.max_sequences = settings.max_sequences;
    options.max_step_tokens = settings.max_step_tokens;
    options.step_budget_ms = settings.step_budget_ms;
    options.max_queue = settings.max_queue;
    options.max_queue_tokens = settings.max_queue_tokens;
    options.kv_bytes = settings.kv_bytes;
    options.prefix_cache = settings.prefix_cache;
    options.pool_weight = settings.pool_weight;
    LoadedVariant loaded;
    ASSIGN_OR_RETURN(loaded.instance, ModelInstance::Start(decoder, model.tokenizer, pool_, clock_, observer, options));
    const LinearInfo linear = decoder->linear_info();
    loaded.max_context = loaded.instance->max_context();
    loaded.kernel_refusals = linear.refusals;
    VariantInfo& info = loaded.info;
    info.precision = decoder->precision().Name();
    info.activation_precision = std::string(decoder->precision().ActivationName());
    info.kv_precision = settings.int8_kv ? "int8" : std::string(DTypeName(decoder->MakeKvGeometry().dtype));
    info.backend = std::string(backend_->name());
    info.kernel = linear.kernel;
    info.isa = linear.isa;
    info.weight_bits = decoder->weight_bits();
    info.group_size = decoder->precision().group_size;
    info.weight_bytes = decoder->weight_bytes();
    info.unique_weight_bytes = decoder->unique_weight_bytes();
    info.mapped_weight_bytes = decoder->mapped_weight_bytes();
    info.kv_bytes = loaded.instance->kv_bytes();
    info.scratch_bytes = DecoderModel::WorkspaceBytes(decoder->config(), settings.max_step_tokens);
    return loaded;
  }

  StatusOr<std::shared_ptr<const Adapter>> LoadAdapter(const ModelResources& model, const std::string& path) override {
    ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(model.checkpoint->config()));
    ASSIGN_OR_RETURN(const PeftAdapter source, ReadPeftAdapter(path));
    return Adapter::Prepare(source, config, *backend_);
  }

 private:
  // `max_context` unset means what the KV budget holds, at most the model's.
  StatusOr<std::shared_ptr<const DecoderModel>> LoadDecoder(const ModelResources& model,
                                                            const VariantSettings& settings, const Precision& precision,
                                                            const ProgressFn& progress) {
    DecoderModel::LoadOptions options;
    options.precision = precision;
    options.max_context = settings.max_context;
    options.kv_dtype = KvDType(settings);
    if (settings.max_context == 0 && settings.kv_bytes > 0) {
      ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(model.checkpoint->config()));
      constexpr uint64_t kBlock = 16;  // tokens of a KV block: the cache holds whole ones
      const uint64_t tokens = settings.kv_bytes / KvBytesPerToken(config, precision, settings) / kBlock * kBlock;
      options.max_context =
          static_cast<int64_t>(std::clamp<uint64_t>(tokens, 1, static_cast<uint64_t>(config.max_positions)));
    }
    options.progress = progress;
    options.fingerprints = model.fingerprints.get();
    TurnParallel parallel(pool_, "load " + model.name + ":" + settings.name);
    auto decoder = DecoderModel::Load(*model.checkpoint, *backend_, parallel, model.weights.get(), options);
    if (cache_ != nullptr) model.fingerprints->StoreIn(*cache_, model.source_identity);
    // What only the load needed goes back to the system: the source's pages, and freed memory that malloc would keep.
    model.checkpoint->ReleasePages();
    ::malloc_trim(0);
    return decoder;
  }

  ComputePool* const pool_;
  const Clock* const clock_;
  const std::shared_ptr<TensorCache> cache_;  // may be null
  const std::unique_ptr<Backend> backend_;
};

std::shared_ptr<TensorCache> OpenCache(const EngineLoaderOptions& options) {
  if (options.packed_cache.dir.empty()) return nullptr;
  auto cache = TensorCache::Open(options.packed_cache.dir, options.warn);
  if (cache.ok()) return *std::move(cache);
  if (options.warn != nullptr) {
    options.warn(fmt::format("{}; weights are packed anew at every start", ToStd(cache.status().message())));
  }
  return nullptr;
}

}  // namespace

StatusOr<std::unique_ptr<ModelLoader>> MakeEngineLoader(ComputePool* pool, const Clock* clock,
                                                        const EngineLoaderOptions& options) {
  const std::shared_ptr<TensorCache> cache = OpenCache(options);
  CpuBackendOptions backend_options;
  backend_options.packed_cache = cache;
  backend_options.huge_pages = options.packed_cache.huge_pages;
  ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeCpuBackend(backend_options));
  return std::unique_ptr<ModelLoader>(new EngineLoader(pool, clock, cache, std::move(backend)));
}

}  // namespace bitrate
