#include "engine/sampling/sampling_params.h"

#include <limits>
#include <unordered_set>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

constexpr float kMaxTemperature = 100.0f;
constexpr float kMaxRepetitionPenalty = std::numeric_limits<float>::max();
constexpr float kMaxBias = 100.0f;

// `low_open`: the bound itself is refused. NaN is never in range.
Status CheckRange(std::string_view field, float value, float low, float high, bool low_open = false) {
  const bool ok = (low_open ? value > low : value >= low) && value <= high;
  if (ok) return OkStatus();
  return InvalidArgument("{}: got {}, wanted {} {}, at most {}", field, value, low_open ? "more than" : "at least", low,
                         high);
}

Status CheckId(std::string_view field, int64_t id, int64_t vocab_size) {
  if (id >= 0 && id < vocab_size) return OkStatus();
  return InvalidArgument("{}: got token id {}, wanted 0 to {}", field, id, vocab_size - 1);
}

Status CheckSampling(const SamplingParams& p, int64_t vocab_size) {
  RETURN_IF_ERROR(CheckRange("sampling.temperature", p.temperature, 0, kMaxTemperature));
  RETURN_IF_ERROR(CheckRange("sampling.top_p", p.top_p, 0, 1, true));
  if (p.top_k < 0) return InvalidArgument("sampling.top_k: got {}, wanted 0 (off) or more", p.top_k);
  RETURN_IF_ERROR(CheckRange("sampling.min_p", p.min_p, 0, 1));
  RETURN_IF_ERROR(CheckRange("sampling.repetition_penalty", p.repetition_penalty, 0, kMaxRepetitionPenalty, true));
  RETURN_IF_ERROR(CheckRange("sampling.presence_penalty", p.presence_penalty, -2, 2));
  RETURN_IF_ERROR(CheckRange("sampling.frequency_penalty", p.frequency_penalty, -2, 2));
  if (p.logit_bias.size() > static_cast<size_t>(limits::kMaxLogitBias)) {
    return InvalidArgument("sampling.logit_bias: got {} entries, wanted at most {}", p.logit_bias.size(),
                           limits::kMaxLogitBias);
  }
  std::unordered_set<int32_t> seen;
  for (const auto& [id, bias] : p.logit_bias) {
    RETURN_IF_ERROR(CheckId("sampling.logit_bias", id, vocab_size));
    RETURN_IF_ERROR(CheckRange("sampling.logit_bias", bias, -kMaxBias, kMaxBias));
    if (!seen.insert(id).second) return InvalidArgument("sampling.logit_bias: got token id {} twice, wanted once", id);
  }
  return OkStatus();
}

Status CheckStop(const StopParams& p, int64_t vocab_size) {
  if (p.max_tokens && *p.max_tokens < 0) {
    return InvalidArgument("stop.max_tokens: got {}, wanted 0 or more", *p.max_tokens);
  }
  if (p.min_tokens < 0) return InvalidArgument("stop.min_tokens: got {}, wanted 0 or more", p.min_tokens);
  if (p.max_tokens && p.min_tokens > *p.max_tokens) {
    return InvalidArgument("stop.min_tokens: got {}, wanted at most max_tokens {}", p.min_tokens, *p.max_tokens);
  }
  if (p.stop.size() > static_cast<size_t>(limits::kMaxStopStrings)) {
    return InvalidArgument("stop.stop: got {} strings, wanted at most {}", p.stop.size(), limits::kMaxStopStrings);
  }
  for (const std::string& text : p.stop) {
    if (text.empty()) return InvalidArgument("stop.stop: got an empty string, wanted at least one byte");
    if (text.size() > limits::kMaxStopStringBytes) {
      return InvalidArgument("stop.stop: got a string of {} bytes, wanted at most {}", text.size(),
                             limits::kMaxStopStringBytes);
    }
  }
  if (p.stop_token_ids.size() > static_cast<size_t>(limits::kMaxStopTokenIds)) {
    return InvalidArgument("stop.stop_token_ids: got {} ids, wanted at most {}", p.stop_token_ids.size(),
                           limits::kMaxStopTokenIds);
  }
  for (const int32_t id : p.stop_token_ids) RETURN_IF_ERROR(CheckId("stop.stop_token_ids", id, vocab_size));
  return OkStatus();
}

Status CheckTopN(std::string_view field, int n) {
  if (n >= -1 && n <= limits::kMaxTopLogprobs) return OkStatus();
  return InvalidArgument("{}: got {}, wanted 0 to {} (or -1 for none)", field, n, limits::kMaxTopLogprobs);
}

}  // namespace

Status ValidateSampling(const SamplingParams& sampling, const StopParams& stop, const LogprobParams& logprobs,
                        int64_t vocab_size) {
  RETURN_IF_ERROR(CheckSampling(sampling, vocab_size));
  RETURN_IF_ERROR(CheckStop(stop, vocab_size));
  RETURN_IF_ERROR(CheckTopN("logprobs.output_top_n", logprobs.output_top_n));
  return CheckTopN("logprobs.prompt_top_n", logprobs.prompt_top_n);
}

}  // namespace bitrate
