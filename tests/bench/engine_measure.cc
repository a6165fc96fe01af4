#include "tests/bench/engine_measure.h"

#include <algorithm>

#include "tests/bench/machine_rates.h"

namespace bitrate::bench {
namespace {

class Session {
 public:
  Session(const Bench& bench, int batch, int tokens, int max_rows)
      : bench_(bench),
        geometry_(bench.model->MakeKvGeometry()),
        workspace_(bench.model->MakeWorkspace(max_rows)),
        blocks_(tokens / geometry_.block_tokens + 1),
        kv_(geometry_.BlockBytes() * static_cast<size_t>(batch) * static_cast<size_t>(blocks_)),
        logits_(static_cast<size_t>(batch) * static_cast<size_t>(bench.model->config().vocab_size)) {}

  // Adds `count` tokens at `position` to sequences [first, first + sequences); `tokens` [sequences, count].
  StepInput MakeInput(int first, int sequences, int position, int count, const std::vector<int32_t>& tokens) const {
    StepInput input;
    input.max_blocks = blocks_;
    input.query_start.push_back(0);
    for (int s = 0; s < sequences; ++s) {
      for (int i = 0; i < count; ++i) {
        input.token_ids.push_back(tokens[static_cast<size_t>(s * count + i)]);
        input.positions.push_back(position + i);
      }
      input.query_start.push_back(static_cast<int32_t>(input.token_ids.size()));
      for (int b = 0; b < blocks_; ++b) input.block_tables.push_back((first + s) * blocks_ + b);
    }
    return input;
  }

  // The next token of every sequence of `input`; without `want_token` the head is left out, as for a chunk that is not
  // the last of its prompt.
  std::vector<int32_t> Step(const StepInput& input, bool want_token = true) {
    auto lease = bench_.pool->Acquire(bench_.client);
    bench_.model->Forward(lease, input, kv_.data(), workspace_);
    if (!want_token) return {};
    std::vector<int32_t> rows;
    for (int s = 0; s < input.num_sequences(); ++s) rows.push_back(input.query_start[static_cast<size_t>(s) + 1] - 1);
    bench_.model->Logits(lease, rows, workspace_, logits_.data());
    std::vector<int32_t> next;
    const auto vocab = static_cast<size_t>(bench_.model->config().vocab_size);
    for (size_t r = 0; r < rows.size(); ++r) {
      const float* row = logits_.data() + r * vocab;
      next.push_back(static_cast<int32_t>(std::max_element(row, row + vocab) - row));
    }
    return next;
  }

  // Prefills sequence `s` with `tokens` made-up ids.
  int32_t Prefill(int s, int tokens, int chunk) {
    const int64_t vocab = bench_.model->config().vocab_size;
    std::vector<int32_t> next;
    for (int at = 0; at < tokens; at += chunk) {
      const int count = std::min(chunk, tokens - at);
      std::vector<int32_t> ids;
      for (int t = at; t < at + count; ++t) {
        ids.push_back(static_cast<int32_t>((int64_t{7919} * s + int64_t{104729} * t + 11) % vocab));
      }
      next = Step(MakeInput(s, 1, at, count, ids), at + count == tokens);
    }
    return next.at(0);
  }

 private:
  const Bench& bench_;
  KvGeometry geometry_;
  StepWorkspace workspace_;
  int blocks_;
  AlignedBuffer<std::byte> kv_;
  std::vector<float> logits_;
};

}  // namespace

DecodeTimes MeasureDecode(const Bench& bench, int batch, int prompt, int steps) {
  Session session(bench, batch, prompt + steps + 1, std::max(prompt, batch));
  DecodeTimes times;
  std::vector<int32_t> last;
  for (int s = 0; s < batch; ++s) {
    const double begin = WallSeconds();
    last.push_back(session.Prefill(s, prompt, prompt));
    times.prompt_seconds.push_back(WallSeconds() - begin);
  }
  for (int t = 0; t < steps; ++t) {
    const double begin = WallSeconds();
    last = session.Step(session.MakeInput(0, batch, prompt + t, 1, last));
    times.step_seconds.push_back(WallSeconds() - begin);
  }
  return times;
}

std::vector<double> MeasurePrefill(const Bench& bench, int tokens, int chunk, int repeats) {
  Session session(bench, 1, tokens + 1, std::min(tokens, chunk));
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    const double begin = WallSeconds();
    session.Prefill(0, tokens, chunk);
    if (i > 0) seconds.push_back(WallSeconds() - begin);
  }
  return seconds;
}

ReadShare MeasureReadShare(const Bench& bench, int prompt, int pairs) {
  Session session(bench, 1, prompt + 2, prompt);
  const std::vector<PackedPlane> planes = bench.model->PackedPlanes();
  ReadShare share;
  for (const PackedPlane& plane : planes) share.bytes += plane.bytes.size();
  const std::vector<int32_t> token = {session.Prefill(0, prompt, prompt)};
  const auto step = [&](bool count) {
    const double begin = WallSeconds();
    session.Step(session.MakeInput(0, 1, prompt, 1, token));
    if (count) share.step_seconds.push_back(WallSeconds() - begin);
  };
  const auto read = [&](bool count) {
    auto lease = bench.pool->Acquire(bench.client);
    const double seconds = ReadPlanes(lease, planes);
    if (count) share.read_seconds.push_back(seconds);
  };
  step(false);
  read(false);
  for (int pair = 0; pair < pairs; ++pair) {
    if (pair % 2 == 0) step(true);
    read(true);
    if (pair % 2 != 0) step(true);
  }
  return share;
}

}  // namespace bitrate::bench
