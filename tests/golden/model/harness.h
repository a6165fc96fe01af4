// Runs a model without a server: one backend of a chosen ISA, a pool of workers, and single sequences with a KV cache
// of their own. For golden tests and tools; nothing here is fast on purpose or shared between threads.
#ifndef BITRATE_TESTS_GOLDEN_MODEL_HARNESS_H_
#define BITRATE_TESTS_GOLDEN_MODEL_HARNESS_H_

#include <absl/functional/function_ref.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/compute_pool.h"
#include "engine/model/decoder_model.h"
#include "engine/model/weight_store.h"

namespace bitrate::golden {

// A backend and leased workers.
class Machine {
 public:
  Machine(Isa isa, int num_workers);
  const Backend& backend() const { return backend_; }
  Parallel& parallel() { return *lease_; }

 private:
  CpuBackend backend_;
  ComputePool pool_;
  ComputePool::ClientId client_;
  std::optional<ComputePool::Lease> lease_;
};

using ModelPtr = std::shared_ptr<const DecoderModel>;

// Fails the running test and gives nullptr where the model cannot be loaded. "+kv8" behind the precision: int8 KV.
ModelPtr LoadModel(Machine& machine, const Checkpoint& checkpoint, const std::string& precision,
                   WeightStore* store = nullptr);

using LogitsFn = absl::FunctionRef<void(int64_t position, std::span<const float> logits)>;

// One sequence of up to max_tokens tokens. Its blocks lie in the cache in reverse order, so that a block table that is
// ignored shows.
class Sequence {
 public:
  // `adapter` outlives the sequence; null = none.
  Sequence(Machine& machine, ModelPtr model, int64_t max_tokens, int64_t max_rows, const Adapter* adapter = nullptr);

  // Appends `ids`, at most max_rows a step, and calls fn for each of their positions. Where the model's rotary factors
  // depend on the length, all of `ids` must lie on the side of the switch that those before them are on.
  void Append(std::span<const int32_t> ids, LogitsFn fn);
  // Appends without logits.
  void Append(std::span<const int32_t> ids);

 private:
  void Step(std::span<const int32_t> ids);
  void EachLogits(int64_t first_position, int64_t rows, LogitsFn fn);

  Machine& machine_;
  ModelPtr model_;
  StepWorkspace workspace_;
  std::vector<std::byte> kv_;
  StepInput input_;
  int64_t length_ = 0;
  std::vector<float> logits_;
};

// logits [ids.size(), V] of a prompt processed in steps of `chunk` tokens.
std::vector<float> PromptLogits(Machine& machine, const ModelPtr& model, std::span<const int32_t> ids, int64_t chunk,
                                const Adapter* adapter = nullptr);

// `count` tokens by argmax after `prompt`, without any stop token, one step a token.
std::vector<int32_t> Greedy(Machine& machine, const ModelPtr& model, std::span<const int32_t> prompt, int count,
                            const Adapter* adapter = nullptr);

}  // namespace bitrate::golden

#endif  // BITRATE_TESTS_GOLDEN_MODEL_HARNESS_H_
