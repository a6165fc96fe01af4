// A StepModel whose "KV" is a running hash of everything before a position, stored slot by slot in the blocks. A wrong
// block, a stale one, a missing position or a write into somebody else's block changes the hash and with it the tokens.
// Logits of a row are a function of its hash, so what a sequence should say follows from its prompt alone (SoloRun).
#ifndef BITRATE_TESTS_UNIT_RUNTIME_STUB_MODEL_H_
#define BITRATE_TESTS_UNIT_RUNTIME_STUB_MODEL_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/runtime/model_instance.h"
#include "engine/runtime/step_model.h"

namespace bitrate {

class StubModel final : public StepModel {
 public:
  struct Shape {
    int vocab_size = 24;
    int max_context = 64;
    int block_tokens = 4;
    int num_blocks = 32;
    int32_t eos_id = 1;
    int rope_switch = 0;
  };
  static constexpr int32_t kNanToken = 2;  // a history that holds it yields NaN logits

  explicit StubModel(const Shape& shape);

  StepModelInfo info() const override;
  Status Forward(Parallel& parallel, const StepInput& input) override;
  Status Logits(Parallel& parallel, std::span<const int32_t> rows, float* logits) override;
  bool broken() const override { return is_broken; }

  // Called by Forward before anything else; what it returns fails the step, and it may throw or wait.
  std::function<Status(const StepInput&)> on_forward;
  bool is_broken = false;

  // `is_long`: of a sequence that is longer than a rope_switch.
  static uint64_t Extend(uint64_t hash, int32_t token, int64_t position, bool is_long = false);
  static constexpr uint64_t kStart = 0x1234567;
  static constexpr uint64_t kPoison = 0xdeadbeef;
  static void FillLogits(uint64_t hash, std::span<float> logits);

 private:
  const Shape shape_;
  const std::vector<int32_t> eos_;
  std::vector<uint64_t> kv_;    // [num_blocks, block_tokens]
  std::vector<uint64_t> rows_;  // hash of each row of the last Forward
};

// What `spec` must yield on its own, computed without the engine: tokens and how it ends (kError for NaN).
struct SoloResult {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kNone;
};
SoloResult SoloRun(const SequenceSpec& spec, const StubModel::Shape& shape);

}  // namespace bitrate

#endif  // BITRATE_TESTS_UNIT_RUNTIME_STUB_MODEL_H_
