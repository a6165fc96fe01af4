#include "server/cli/offline_model.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>

#include "engine/artifact/peft_adapter.h"
#include "engine/model/adapter.h"

namespace bitrate {
namespace {

constexpr int64_t kChunkRows = 256;  // tokens of a step
constexpr int64_t kLogitRows = 32;   // rows of logits in memory at once

ProgressFn TerminalProgress() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [](std::string_view what, int64_t done, int64_t total) {
    constexpr int64_t kWidth = 30;
    const auto filled = static_cast<size_t>(total > 0 ? kWidth * done / total : 0);
    fmt::print(stderr, "\r{} [{:<{}}] {}/{}", what, std::string(filled, '#'), kWidth, done, total);
    if (done >= total) fmt::print(stderr, "\n");
    std::fflush(stderr);
  };
}

ComputePool::Options PoolOptions(int threads) {
  ComputePool::Options options;
  options.num_threads = threads;
  return options;
}

}  // namespace

OfflineModel::OfflineModel(std::unique_ptr<Backend> backend, const ModelFlags& flags)
    : backend_(std::move(backend)),
      pool_(PoolOptions(flags.threads)),
      lease_(pool_.Acquire(pool_.Register("offline"))) {}

StatusOr<std::unique_ptr<OfflineModel>> OfflineModel::Load(const ModelFlags& flags) {
  DecoderModel::LoadOptions options;
  ASSIGN_OR_RETURN(options.precision, Precision::Parse(flags.precision));
  options.progress = TerminalProgress();
  ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::Open(flags.model));
  ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeCpuBackend());
  std::unique_ptr<OfflineModel> out(new OfflineModel(std::move(backend), flags));
  out->checkpoint_ = std::move(checkpoint);
  ASSIGN_OR_RETURN(out->model_, DecoderModel::Load(*out->checkpoint_, *out->backend_, out->lease_, nullptr, options));
  if (!flags.adapter.empty()) {
    ASSIGN_OR_RETURN(const PeftAdapter source, ReadPeftAdapter(flags.adapter));
    ASSIGN_OR_RETURN(out->adapter_, Adapter::Prepare(source, out->config(), *out->backend_));
    out->input_.adapters.assign(1, out->adapter_.get());
  }
  out->workspace_ = out->model_->MakeWorkspace(kChunkRows);
  return out;
}

Status OfflineModel::Run(std::span<const int32_t> ids, int64_t first, LogitsFn fn) {
  const auto length = static_cast<int64_t>(ids.size());
  if (length == 0) return InvalidArgument("ids: got none, wanted at least one");
  if (length > model_->max_context()) {
    return InvalidArgument("ids: got {} tokens, wanted at most the context of {}", length, model_->max_context());
  }
  for (const int32_t id : ids) {
    if (id >= 0 && id < config().vocab_size) continue;
    return InvalidArgument("ids: got token id {}, wanted 0 to {}", id, config().vocab_size - 1);
  }
  const KvGeometry kv = model_->MakeKvGeometry();
  const int64_t blocks = (length + kv.block_tokens - 1) / kv.block_tokens;
  const size_t bytes = kv.BlockBytes() * static_cast<size_t>(blocks);
  try {
    if (bytes > kv_.size()) kv_ = AlignedBuffer<std::byte>(bytes);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("no memory for the KV cache of {} tokens ({} bytes)", length, bytes);
  }
  input_.block_tables.clear();
  for (int64_t i = 0; i < blocks; ++i) input_.block_tables.push_back(static_cast<int32_t>(i));
  input_.max_blocks = static_cast<int>(blocks);
  input_.lengths = {static_cast<int32_t>(length)};
  for (int64_t begin = 0; begin < length; begin += kChunkRows) {
    const int64_t rows = std::min(kChunkRows, length - begin);
    RETURN_IF_ERROR(RunChunk(ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows)), begin, first, fn));
  }
  return OkStatus();
}

Status OfflineModel::RunChunk(std::span<const int32_t> ids, int64_t begin, int64_t first, LogitsFn fn) {
  const auto rows = static_cast<int64_t>(ids.size());
  input_.token_ids.assign(ids.begin(), ids.end());
  input_.query_start = {0, static_cast<int32_t>(rows)};
  input_.positions.clear();
  for (int64_t i = 0; i < rows; ++i) input_.positions.push_back(static_cast<int32_t>(begin + i));
  model_->Forward(lease_, input_, kv_.data(), workspace_);
  const auto vocab = static_cast<size_t>(config().vocab_size);
  std::vector<int32_t> indices;
  for (int64_t row = std::max<int64_t>(0, first - begin); row < rows;) {
    indices.clear();
    for (; row < rows && static_cast<int64_t>(indices.size()) < kLogitRows; ++row) {
      indices.push_back(static_cast<int32_t>(row));
    }
    logits_.resize(indices.size() * vocab);
    model_->Logits(lease_, indices, workspace_, logits_.data());
    for (size_t i = 0; i < indices.size(); ++i) {
      RETURN_IF_ERROR(fn(begin + indices[i], {logits_.data() + i * vocab, vocab}));
    }
  }
  return OkStatus();
}

}  // namespace bitrate
