#include "tests/unit/runtime/stub_model.h"

#include <algorithm>
#include <limits>

namespace bitrate {
namespace {

uint64_t Scramble(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ (x >> 33);
}

}  // namespace

StubModel::StubModel(const Shape& shape)
    : shape_(shape), eos_{shape.eos_id}, kv_(static_cast<size_t>(shape.num_blocks) * shape.block_tokens, 0) {}

StepModelInfo StubModel::info() const {
  StepModelInfo info;
  info.vocab_size = shape_.vocab_size;
  info.max_context = shape_.max_context;
  info.block_tokens = shape_.block_tokens;
  info.num_blocks = shape_.num_blocks;
  info.kv_bytes = kv_.size() * sizeof(uint64_t);
  info.eos_ids = eos_;
  info.attention_weight = 0.01;
  info.rope_switch = shape_.rope_switch;
  return info;
}

uint64_t StubModel::Extend(uint64_t hash, int32_t token, int64_t position, bool is_long) {
  if (hash == kPoison || token == kNanToken) return kPoison;
  const uint64_t turn = static_cast<uint64_t>(position) + (is_long ? 500 : 0);
  return Scramble(hash * 31 + static_cast<uint64_t>(token) * 1000003 + turn);
}

void StubModel::FillLogits(uint64_t hash, std::span<float> logits) {
  for (size_t v = 0; v < logits.size(); ++v) {
    logits[v] = hash == kPoison ? std::numeric_limits<float>::quiet_NaN()
                                : static_cast<float>(Scramble(hash + v) % 4096) / 512.0f;
  }
  // Only a prompt brings it in; a model that talks itself into NaN would end most runs early.
  if (hash != kPoison && logits.size() > kNanToken) logits[kNanToken] = -100.0f;
}

Status StubModel::Forward(Parallel& parallel, const StepInput& input) {
  if (on_forward) RETURN_IF_ERROR(on_forward(input));
  rows_.resize(input.num_rows());
  for (int b = 0; b < input.num_sequences(); ++b) {
    const int32_t* table = input.block_tables.data() + static_cast<size_t>(b) * input.max_blocks;
    const auto slot = [&](int64_t p) -> uint64_t& {
      return kv_[static_cast<size_t>(table[p / shape_.block_tokens]) * shape_.block_tokens + p % shape_.block_tokens];
    };
    const bool is_long = shape_.rope_switch > 0 && input.lengths[b] > shape_.rope_switch;
    for (int r = input.query_start[b]; r < input.query_start[b + 1]; ++r) {
      const int64_t p = input.positions[r];
      rows_[r] = slot(p) = Extend(p == 0 ? kStart : slot(p - 1), input.token_ids[r], p, is_long);
    }
  }
  return OkStatus();
}

Status StubModel::Logits(Parallel& parallel, std::span<const int32_t> rows, float* logits) {
  const auto width = static_cast<size_t>(shape_.vocab_size);
  for (size_t i = 0; i < rows.size(); ++i) FillLogits(rows_[rows[i]], {logits + i * width, width});
  return OkStatus();
}

namespace {

// The hash of all of `tokens`, computed at once.
uint64_t HashOf(std::span<const int32_t> tokens, const StubModel::Shape& shape) {
  const bool is_long = shape.rope_switch > 0 && static_cast<int>(tokens.size()) > shape.rope_switch;
  uint64_t hash = StubModel::kStart;
  for (size_t p = 0; p < tokens.size(); ++p) {
    hash = StubModel::Extend(hash, tokens[p], static_cast<int64_t>(p), is_long);
  }
  return hash;
}

}  // namespace

SoloResult SoloRun(const SequenceSpec& spec, const StubModel::Shape& shape) {
  SoloResult result;
  const auto room = static_cast<int64_t>(shape.max_context - spec.prompt.size());
  const int64_t max_output = std::min<int64_t>(spec.stop.max_tokens.value_or(room), room);
  // The row of a prompt token scores the next one.
  const std::span<const int32_t> prompt(spec.prompt);
  if (spec.logprobs.prompt_top_n >= 0 && HashOf(prompt.first(prompt.size() - 1), shape) == StubModel::kPoison) {
    return {{}, FinishReason::kError};
  }
  std::vector<int32_t> known = spec.prompt;
  std::vector<int32_t> masked = spec.stop.stop_token_ids;
  if (!spec.stop.ignore_eos) masked.push_back(shape.eos_id);
  std::sort(masked.begin(), masked.end());
  masked.erase(std::unique(masked.begin(), masked.end()), masked.end());
  std::vector<float> logits(shape.vocab_size);
  SamplerScratch scratch;
  while (static_cast<int64_t>(result.tokens.size()) < max_output) {
    StubModel::FillLogits(HashOf(known, shape), logits);
    SampleRequest request;
    request.logits = logits;
    request.params = &spec.sampling;
    request.choice_index = spec.choice_index;
    request.position = static_cast<int64_t>(known.size());
    request.prompt = spec.prompt;
    request.output = result.tokens;
    if (static_cast<int>(result.tokens.size()) < spec.stop.min_tokens) request.masked_ids = masked;
    const auto sample = Sample(request, scratch);
    if (!sample.ok()) {
      result.finish = FinishReason::kError;
      return result;
    }
    const int32_t token = sample->token_id;
    result.tokens.push_back(token);
    if (!spec.stop.ignore_eos && token == shape.eos_id) {
      result.finish = FinishReason::kEos;
      return result;
    }
    const auto& stop_ids = spec.stop.stop_token_ids;
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
      result.finish = FinishReason::kStopToken;
      return result;
    }
    known.push_back(token);
  }
  result.finish = FinishReason::kLength;
  return result;
}

}  // namespace bitrate
