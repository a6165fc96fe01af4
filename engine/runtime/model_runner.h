// StepPlan -> StepInput -> Forward -> Logits, in slices of bounded rows -> sampling, in parallel over rows -> results.
//
// A row that cannot be sampled (NaN) fails its own sequence only. Everything that depends on chance is keyed by
// (seed, choice, position), so batch-mates, chunks and the order of rows never matter (DESIGN promise 2).
// Thread rule: engine thread, with the workers of the lease.
// Errors: the status of Run is the model's (the whole step failed); EntryResult::status is one sequence's.
#ifndef BITRATE_ENGINE_RUNTIME_MODEL_RUNNER_H_
#define BITRATE_ENGINE_RUNTIME_MODEL_RUNNER_H_

#include <cstdint>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/parallel.h"
#include "engine/base/status.h"
#include "engine/batch/step_input.h"
#include "engine/runtime/live_sequence.h"
#include "engine/runtime/scheduler.h"
#include "engine/runtime/step_model.h"
#include "engine/sampling/sampler.h"

namespace bitrate {

struct EntryResult {
  Status status;
  bool sampled = false;
  SampleResult sample;
  // Scores of prompt tokens, those of positions first_scored, first_scored + 1, ...
  int64_t first_scored = 0;
  std::vector<SampleResult> scores;
};

class ModelRunner {
 public:
  // `model` must outlive the runner. Logits of at most max_logits_rows rows are held at once.
  explicit ModelRunner(StepModel* model, int max_logits_rows = 0);

  // results[i] is of plan.entries[i], whose sequences are LiveSequence.
  Status Run(Parallel& parallel, const StepPlan& plan, std::vector<EntryResult>* results);

  // A step of `num_rows` rows of token 0 in block 0 onwards through the first `num_layers` layers (0 = all), whose
  // results are thrown away: touches weights and scratch.
  Status WarmUp(Parallel& parallel, int num_rows, int num_layers = 0);

 private:
  struct RowJob {
    int32_t row = 0;  // in the step
    int entry = 0;
    int64_t score_index = -1;  // in EntryResult::scores; -1 = sample
  };

  void BuildInput(const StepPlan& plan);
  void BuildJobs(const StepPlan& plan, std::vector<EntryResult>* results);
  void RunJob(size_t index, const float* logits, const StepPlan& plan, SamplerScratch& scratch,
              std::vector<EntryResult>* results);

  StepModel* const model_;
  const StepModelInfo info_;
  const int slice_rows_;
  StepInput input_;
  std::vector<RowJob> jobs_;
  std::vector<int32_t> slice_;
  std::vector<Status> job_status_;       // one a job: two workers never write the same entry
  std::vector<SamplerScratch> scratch_;  // one a worker
  AlignedBuffer<float> logits_;          // [slice_rows, V]
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_RUNTIME_MODEL_RUNNER_H_
