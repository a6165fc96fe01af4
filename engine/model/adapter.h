// A LoRA adapter prepared for a model: what each row of a batch that asks for it gets added behind every linear
// operator, beside rows that ask for another or none. Never merged into the weights, so one adapter serves every
// precision of the model, and the rows of a batch may differ.
//
// q, k and v share one operator, gate and up another, as the decoder's weights do. A fused projection of the checkpoint
// (qkv_proj) is one module that covers it all.
//
// Thread rule: immutable, shared. Errors of Prepare: INVALID_ARGUMENT naming the module, got and wanted shape (also:
// the config targets a module of the model and the file has no tensors for it, or the other way round);
// FAILED_PRECONDITION for modules that exist and are not supported (experts, router, head); RESOURCE_EXHAUSTED out of
// memory.
#ifndef BITRATE_ENGINE_MODEL_ADAPTER_H_
#define BITRATE_ENGINE_MODEL_ADAPTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/artifact/peft_adapter.h"
#include "engine/backend/backend.h"
#include "engine/model/model_config.h"

namespace bitrate {

using LowRankPtr = std::shared_ptr<const LowRankOp>;

// Null: nothing is added there.
struct AdapterLayer {
  LowRankPtr qkv;
  LowRankPtr o;
  LowRankPtr gate_up;
  LowRankPtr down;
};

class Adapter {
 public:
  static StatusOr<std::shared_ptr<const Adapter>> Prepare(const PeftAdapter& source, const ModelConfig& config,
                                                          const Backend& backend);

  const std::vector<AdapterLayer>& layers() const { return layers_; }
  // Stands for its content (names, scales and weights): part of the prefix cache's key, so that KV of an adapter is
  // found again when the same one is loaded anew, and never by another of the same name.
  const std::string& id() const { return id_; }
  uint64_t bytes() const { return bytes_; }
  int64_t max_rank() const { return max_rank_; }
  int num_modules() const { return num_modules_; }

 private:
  friend class AdapterBuilder;
  Adapter() = default;

  std::vector<AdapterLayer> layers_;
  std::string id_;
  uint64_t bytes_ = 0;
  int64_t max_rank_ = 0;
  int num_modules_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_ADAPTER_H_
