#include "engine/runtime/model_runner.h"

#include <algorithm>
#include <exception>

#include "engine/base/check.h"

namespace bitrate {
namespace {

// 16 MiB of logits: 80 rows of SmolLM2's vocabulary, 32 of a 128k one. Enough rows to use the head's matmul well.
constexpr int64_t kLogitsFloats = 4 << 20;

int SliceRows(int64_t vocab_size, int max_rows) {
  const int64_t rows = std::clamp<int64_t>(kLogitsFloats / std::max<int64_t>(vocab_size, 1), 1, 256);
  return static_cast<int>(max_rows > 0 ? std::min<int64_t>(rows, max_rows) : rows);
}

const LiveSequence& Live(const PlanEntry& entry) { return static_cast<const LiveSequence&>(*entry.sequence); }

}  // namespace

ModelRunner::ModelRunner(StepModel* model, int max_logits_rows)
    : model_(model),
      info_(model->info()),
      slice_rows_(SliceRows(info_.vocab_size, max_logits_rows)),
      logits_(static_cast<size_t>(slice_rows_) * info_.vocab_size) {}

void ModelRunner::BuildInput(const StepPlan& plan) {
  input_.token_ids.clear();
  input_.positions.clear();
  input_.query_start.assign(1, 0);
  input_.lengths.clear();
  size_t max_blocks = 1;
  for (const PlanEntry& entry : plan.entries) {
    const auto tokens = entry.sequence->tokens().subspan(entry.first, entry.num_tokens);
    input_.token_ids.insert(input_.token_ids.end(), tokens.begin(), tokens.end());
    for (int i = 0; i < entry.num_tokens; ++i) input_.positions.push_back(static_cast<int32_t>(entry.first + i));
    input_.query_start.push_back(input_.num_rows());
    input_.lengths.push_back(static_cast<int32_t>(entry.sequence->num_tokens()));
    max_blocks = std::max(max_blocks, entry.sequence->table.size());
  }
  input_.adapters.clear();
  const bool adapted = std::any_of(plan.entries.begin(), plan.entries.end(),
                                   [](const PlanEntry& entry) { return Live(entry).spec.adapter != nullptr; });
  for (size_t b = 0; adapted && b < plan.entries.size(); ++b) {
    input_.adapters.push_back(Live(plan.entries[b]).spec.adapter.get());
  }
  input_.max_blocks = static_cast<int>(max_blocks);
  input_.block_tables.assign(plan.entries.size() * max_blocks, 0);
  for (size_t b = 0; b < plan.entries.size(); ++b) {
    const BlockTable& table = plan.entries[b].sequence->table;
    std::copy(table.begin(), table.end(), input_.block_tables.begin() + b * max_blocks);
  }
}

void ModelRunner::BuildJobs(const StepPlan& plan, std::vector<EntryResult>* results) {
  jobs_.clear();
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    const PlanEntry& entry = plan.entries[e];
    const LiveSequence& sequence = Live(entry);
    EntryResult& result = (*results)[e];
    const int32_t first_row = input_.query_start[e];
    if (sequence.wants_prompt_logprobs()) {
      // The row at position p scores the token at p + 1; what was scored before a preemption is not scored again.
      const int64_t first = std::max(entry.first, sequence.num_scored - 1);
      const int64_t last = std::min(entry.first + entry.num_tokens, sequence.num_prompt() - 1);
      result.first_scored = first + 1;
      for (int64_t p = first; p < last; ++p) {
        jobs_.push_back({static_cast<int32_t>(first_row + (p - entry.first)), static_cast<int>(e), p - first});
      }
      result.scores.resize(std::max<int64_t>(0, last - first));
    }
    if (entry.completes && sequence.generates) {
      jobs_.push_back({first_row + entry.num_tokens - 1, static_cast<int>(e), -1});
    }
  }
}

void ModelRunner::RunJob(size_t index, const float* logits, const StepPlan& plan, SamplerScratch& scratch,
                         std::vector<EntryResult>* results) {
  const RowJob& job = jobs_[index];
  const LiveSequence& sequence = Live(plan.entries[job.entry]);
  EntryResult& result = (*results)[job.entry];
  const std::span<const float> row(logits, static_cast<size_t>(info_.vocab_size));
  Status& status = job_status_[index];
  if (job.score_index >= 0) {
    const int32_t token = sequence.tokens()[result.first_scored + job.score_index];
    auto scored = ScoreToken(row, token, sequence.spec.logprobs.prompt_top_n);
    if (scored.ok()) {
      result.scores[job.score_index] = *std::move(scored);
    } else {
      status = scored.status();
    }
    return;
  }
  SampleRequest request;
  request.logits = row;
  request.params = &sequence.spec.sampling;
  request.choice_index = sequence.spec.choice_index;
  request.position = sequence.num_tokens();
  request.prompt = sequence.prompt();
  request.output = sequence.output();
  request.masked_ids = sequence.stops.Masked(sequence.num_output());
  request.top_logprobs = sequence.spec.logprobs.output_top_n;
  auto sample = Sample(request, scratch);
  if (!sample.ok()) {
    status = sample.status();
  } else if (sample->token_id < 0 || sample->token_id >= info_.vocab_size) {
    status = Internal("sampling chose token {} of {}", sample->token_id, info_.vocab_size);
  } else {
    result.sample = *std::move(sample);
    result.sampled = true;
  }
}

Status ModelRunner::Run(Parallel& parallel, const StepPlan& plan, std::vector<EntryResult>* results) {
  results->clear();
  results->resize(plan.entries.size());
  BuildInput(plan);
  RETURN_IF_ERROR(model_->Forward(parallel, input_));
  BuildJobs(plan, results);
  job_status_.assign(jobs_.size(), OkStatus());
  const int num_workers = parallel.num_workers();
  scratch_.resize(std::max<size_t>(scratch_.size(), num_workers));
  for (size_t begin = 0; begin < jobs_.size(); begin += slice_rows_) {
    const size_t count = std::min<size_t>(slice_rows_, jobs_.size() - begin);
    slice_.clear();
    for (size_t i = 0; i < count; ++i) slice_.push_back(jobs_[begin + i].row);
    RETURN_IF_ERROR(model_->Logits(parallel, slice_, logits_.data()));
    parallel.Run([&](int worker) {
      for (size_t i = worker; i < count; i += num_workers) {
        // An exception must not leave a worker's thread; out of memory here is one sequence's failure.
        try {
          RunJob(begin + i, logits_.data() + i * info_.vocab_size, plan, scratch_[worker], results);
        } catch (const std::exception& e) {
          job_status_[begin + i] = Internal("sampling: {}", e.what());
        }
      }
    });
  }
  for (size_t i = 0; i < jobs_.size(); ++i) (*results)[jobs_[i].entry].status.Update(job_status_[i]);
  return OkStatus();
}

Status ModelRunner::WarmUp(Parallel& parallel, int num_rows, int num_layers) {
  BITRATE_CHECK(num_rows > 0);
  const int num_blocks = static_cast<int>(BlocksFor(num_rows, info_.block_tokens));
  input_.token_ids.assign(num_rows, 0);
  input_.positions.resize(num_rows);
  input_.block_tables.resize(num_blocks);
  for (int i = 0; i < num_rows; ++i) input_.positions[i] = i;
  for (int b = 0; b < num_blocks; ++b) input_.block_tables[b] = b;
  input_.query_start = {0, num_rows};
  input_.lengths = {num_rows};
  input_.adapters.clear();
  input_.max_blocks = num_blocks;
  input_.num_layers = num_layers;
  const Status status = model_->Forward(parallel, input_);
  input_.num_layers = 0;
  RETURN_IF_ERROR(status);
  slice_.assign(1, num_rows - 1);
  return model_->Logits(parallel, slice_, logits_.data());
}

}  // namespace bitrate
