#include "tests/golden/model/harness.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/sampling/row_stats.h"

namespace bitrate::golden {
namespace {

constexpr int64_t kLogitRows = 64;  // rows of logits in memory at once

ComputePool::Options PoolOptions(int num_workers) {
  ComputePool::Options options;
  options.num_threads = num_workers;
  options.pin_threads = false;  // tests share the machine
  return options;
}

}  // namespace

Machine::Machine(Isa isa, int num_workers)
    : backend_(isa, false), pool_(PoolOptions(num_workers)), client_(pool_.Register("test")) {
  lease_.emplace(pool_.Acquire(client_));
}

ModelPtr LoadModel(Machine& machine, const Checkpoint& checkpoint, const std::string& precision, WeightStore* store) {
  DecoderModel::LoadOptions options;
  const bool int8_kv = precision.ends_with("+kv8");
  if (int8_kv) options.kv_dtype = DType::kI8;
  const StatusOr<Precision> parsed = Precision::Parse(precision.substr(0, precision.size() - (int8_kv ? 4 : 0)));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return nullptr;
  options.precision = *parsed;
  StatusOr<ModelPtr> model = DecoderModel::Load(checkpoint, machine.backend(), machine.parallel(), store, options);
  EXPECT_TRUE(model.ok()) << precision << ": " << model.status();
  return model.ok() ? *model : nullptr;
}

Sequence::Sequence(Machine& machine, ModelPtr model, int64_t max_tokens, int64_t max_rows, const Adapter* adapter)
    : machine_(machine), model_(std::move(model)), workspace_(model_->MakeWorkspace(max_rows)) {
  const KvGeometry kv = model_->MakeKvGeometry();
  const int blocks = static_cast<int>((max_tokens + kv.block_tokens - 1) / kv.block_tokens);
  kv_.resize(kv.BlockBytes() * static_cast<size_t>(blocks));
  for (int i = blocks; i-- > 0;) input_.block_tables.push_back(i);
  input_.max_blocks = blocks;
  if (adapter != nullptr) input_.adapters.assign(1, adapter);
}

void Sequence::Step(std::span<const int32_t> ids) {
  input_.token_ids.assign(ids.begin(), ids.end());
  input_.query_start = {0, static_cast<int32_t>(ids.size())};
  input_.positions.clear();
  for (size_t i = 0; i < ids.size(); ++i)
    input_.positions.push_back(static_cast<int32_t>(length_ + static_cast<int64_t>(i)));
  model_->Forward(machine_.parallel(), input_, kv_.data(), workspace_);
  length_ += static_cast<int64_t>(ids.size());
}

void Sequence::EachLogits(int64_t first_position, int64_t rows, LogitsFn fn) {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  for (int64_t begin = 0; begin < rows; begin += kLogitRows) {
    std::vector<int32_t> indices;
    for (int64_t r = begin; r < std::min(rows, begin + kLogitRows); ++r) indices.push_back(static_cast<int32_t>(r));
    logits_.resize(indices.size() * vocab);
    model_->Logits(machine_.parallel(), indices, workspace_, logits_.data());
    for (size_t i = 0; i < indices.size(); ++i) {
      fn(first_position + indices[i], {logits_.data() + i * vocab, vocab});
    }
  }
}

void Sequence::Append(std::span<const int32_t> ids, LogitsFn fn) {
  input_.lengths = {static_cast<int32_t>(length_ + static_cast<int64_t>(ids.size()))};
  for (size_t begin = 0; begin < ids.size();) {
    const size_t rows = std::min(ids.size() - begin, static_cast<size_t>(workspace_.max_rows));
    const int64_t first = length_;
    Step(ids.subspan(begin, rows));
    EachLogits(first, static_cast<int64_t>(rows), fn);
    begin += rows;
  }
}

void Sequence::Append(std::span<const int32_t> ids) {
  input_.lengths = {static_cast<int32_t>(length_ + static_cast<int64_t>(ids.size()))};
  for (size_t begin = 0; begin < ids.size();) {
    const size_t rows = std::min(ids.size() - begin, static_cast<size_t>(workspace_.max_rows));
    Step(ids.subspan(begin, rows));
    begin += rows;
  }
}

std::vector<float> PromptLogits(Machine& machine, const ModelPtr& model, std::span<const int32_t> ids, int64_t chunk,
                                const Adapter* adapter) {
  std::vector<float> all;
  Sequence sequence(machine, model, static_cast<int64_t>(ids.size()), chunk, adapter);
  sequence.Append(ids,
                  [&](int64_t, std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); });
  return all;
}

std::vector<int32_t> Greedy(Machine& machine, const ModelPtr& model, std::span<const int32_t> prompt, int count,
                            const Adapter* adapter) {
  const auto rows = static_cast<int64_t>(prompt.size());
  Sequence sequence(machine, model, rows + count, rows, adapter);
  std::vector<int32_t> out;
  std::vector<float> maxima;
  const auto choose = [&](int64_t position, std::span<const float> logits) {
    if (position + 1 < rows) return;
    EXPECT_TRUE(ChunkMaxima(logits, maxima)) << "NaN at position " << position;
    out.push_back(ArgMax(logits, maxima));
  };
  if (rows > 1) sequence.Append(prompt.first(prompt.size() - 1));
  sequence.Append(prompt.last(1), choose);
  while (static_cast<int>(out.size()) < count) {
    const int32_t last = out.back();
    sequence.Append({&last, 1}, choose);
  }
  return out;
}

}  // namespace bitrate::golden
