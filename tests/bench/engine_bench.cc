// Engine-level speed without transport: decode at fixed batches and prefill of one prompt, through the decoder and the
// CPU backend exactly as an instance runs them, the greedy choice of the next token included. One JSON line a figure:
//   {"precision", "batch", "decode_tokens_per_second", "prefill_tokens_per_second", "weight_bytes", "gb_per_second"}
// gb_per_second = weight bytes read per decode step / step time (batch 1 reads each weight once).
// Usage: engine_bench MODEL PRECISION[,PRECISION...] [BATCH,...] [PROMPT_TOKENS] [DECODE_TOKENS] [THREADS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"
#include "engine/backend/backend.h"
#include "engine/base/compute_pool.h"
#include "engine/model/decoder_model.h"

namespace bitrate {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

struct Session {
  std::shared_ptr<const DecoderModel> model;
  ComputePool* pool;
  ComputePool::ClientId client;
  KvGeometry geometry;
  AlignedBuffer<std::byte> kv;
  StepWorkspace workspace;
  std::vector<float> logits;
  int blocks_per_sequence;

  Session(std::shared_ptr<const DecoderModel> m, ComputePool* p, ComputePool::ClientId c, int batch, int tokens,
          int max_rows)
      : model(std::move(m)),
        pool(p),
        client(c),
        geometry(model->MakeKvGeometry()),
        workspace(model->MakeWorkspace(max_rows)),
        blocks_per_sequence(tokens / geometry.block_tokens + 1) {
    kv = AlignedBuffer<std::byte>(geometry.BlockBytes() * static_cast<size_t>(batch * blocks_per_sequence));
    logits.resize(static_cast<size_t>(batch) * static_cast<size_t>(model->config().vocab_size));
  }

  // Adds `count` tokens at `position` to sequences [first, first + sequences); returns nothing, fills workspace.
  StepInput MakeInput(int first, int sequences, int position, int count, const std::vector<int32_t>& tokens) const {
    StepInput input;
    input.max_blocks = blocks_per_sequence;
    input.query_start.push_back(0);
    for (int s = 0; s < sequences; ++s) {
      for (int i = 0; i < count; ++i) {
        input.token_ids.push_back(tokens[static_cast<size_t>(s * count + i)]);
        input.positions.push_back(position + i);
      }
      input.query_start.push_back(static_cast<int32_t>(input.token_ids.size()));
      for (int b = 0; b < blocks_per_sequence; ++b) input.block_tables.push_back((first + s) * blocks_per_sequence + b);
    }
    return input;
  }

  std::vector<int32_t> Step(const StepInput& input) {
    auto lease = pool->Acquire(client);
    model->Forward(lease, input, kv.data(), workspace);
    std::vector<int32_t> rows;
    for (int s = 0; s < input.num_sequences(); ++s) rows.push_back(input.query_start[static_cast<size_t>(s) + 1] - 1);
    model->Logits(lease, rows, workspace, logits.data());
    std::vector<int32_t> next;
    const auto vocab = static_cast<size_t>(model->config().vocab_size);
    for (size_t r = 0; r < rows.size(); ++r) {
      const float* row = logits.data() + r * vocab;
      next.push_back(static_cast<int32_t>(std::max_element(row, row + vocab) - row));
    }
    return next;
  }
};

void RunOne(const std::shared_ptr<const DecoderModel>& model, ComputePool* pool, ComputePool::ClientId client,
            const std::string& precision, int batch, int prompt_tokens, int decode_tokens) {
  Session session(model, pool, client, batch, prompt_tokens + decode_tokens + 1, std::max(prompt_tokens, batch));
  std::vector<int32_t> last;
  double prefill_seconds = 0;
  for (int s = 0; s < batch; ++s) {
    std::vector<int32_t> prompt;
    for (int t = 0; t < prompt_tokens; ++t) prompt.push_back((s * 7919 + t * 104729 + 11) % 40000);
    const double start = Now();
    last.push_back(session.Step(session.MakeInput(s, 1, 0, prompt_tokens, prompt))[0]);
    prefill_seconds = s == 0 ? Now() - start : std::min(prefill_seconds, Now() - start);
  }
  const double start = Now();
  for (int t = 0; t < decode_tokens; ++t) last = session.Step(session.MakeInput(0, batch, prompt_tokens + t, 1, last));
  const double step = (Now() - start) / decode_tokens;
  std::printf(
      "{\"precision\": \"%s\", \"batch\": %d, \"decode_tokens_per_second\": %.2f, \"prefill_tokens\": %d, "
      "\"prefill_tokens_per_second\": %.1f, \"weight_bytes\": %llu, \"gb_per_second\": %.2f, \"kernel\": \"%s\"}\n",
      precision.c_str(), batch, batch / step, prompt_tokens, prompt_tokens / prefill_seconds,
      static_cast<unsigned long long>(model->weight_bytes()), static_cast<double>(model->weight_bytes()) / step * 1e-9,
      model->linear_info().kernel.c_str());
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: engine_bench MODEL PRECISION,... [BATCH,...] [PROMPT] [DECODE] [THREADS]\n");
    return 2;
  }
  const std::vector<std::string> batches = Split(argc > 3 ? argv[3] : "1,8");
  const int prompt = argc > 4 ? std::atoi(argv[4]) : 128, decode = argc > 5 ? std::atoi(argv[5]) : 64;
  ComputePool pool({.num_threads = argc > 6 ? std::atoi(argv[6]) : 0});
  const auto client = pool.Register("bench");
  auto checkpoint = Checkpoint::Open(argv[1]);
  auto backend = MakeCpuBackend();
  if (!checkpoint.ok() || !backend.ok()) {
    std::fprintf(stderr, "%s\n", (checkpoint.ok() ? backend.status() : checkpoint.status()).ToString().c_str());
    return 2;
  }
  for (const std::string& name : Split(argv[2])) {
    auto precision = Precision::Parse(name);
    if (!precision.ok()) {
      std::fprintf(stderr, "%s\n", precision.status().ToString().c_str());
      return 2;
    }
    std::shared_ptr<const DecoderModel> model;
    {
      auto lease = pool.Acquire(client);
      auto loaded = DecoderModel::Load(**checkpoint, **backend, lease, nullptr, {.precision = *precision});
      if (!loaded.ok()) {
        std::fprintf(stderr, "%s\n", loaded.status().ToString().c_str());
        return 1;
      }
      model = std::move(*loaded);
    }
    for (const std::string& batch : batches) {
      RunOne(model, &pool, client, name, std::max(1, std::atoi(batch.c_str())), prompt, decode);
    }
  }
  return 0;
}

}  // namespace
}  // namespace bitrate

int main(int argc, char** argv) { return bitrate::Main(argc, argv); }
