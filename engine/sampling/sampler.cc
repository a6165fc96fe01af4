#include "engine/sampling/sampler.h"

#include <algorithm>
#include <limits>

#include "engine/base/check.h"
#include "engine/sampling/philox.h"

namespace bitrate {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// A top-k up to this is kept by insertion in one pass; a larger one by nth_element over a copy of the row.
constexpr int kInsertionTopK = 64;

bool HasPenalty(const SamplingParams& p) {
  return p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f;
}

bool IsAdjusted(const SampleRequest& request) {
  return HasPenalty(*request.params) || !request.params->logit_bias.empty() || !request.masked_ids.empty();
}

// As transformers and vLLM define them: repetition divides positive and multiplies negative logits, once for each id of
// prompt and output; presence and frequency subtract by the output's counts.
void ApplyPenalties(const SampleRequest& request, std::vector<float>& logits, std::vector<int32_t>& counts) {
  const SamplingParams& p = *request.params;
  if (counts.size() < logits.size()) counts.assign(logits.size(), 0);
  const auto known = [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < logits.size(); };
  if (p.repetition_penalty != 1.0f) {
    for (const std::span<const int32_t> ids : {request.prompt, request.output}) {
      for (const int32_t id : ids) {
        if (!known(id) || counts[static_cast<size_t>(id)]++ > 0) continue;
        float& x = logits[static_cast<size_t>(id)];
        x = x > 0 ? x / p.repetition_penalty : x * p.repetition_penalty;
      }
    }
    for (const std::span<const int32_t> ids : {request.prompt, request.output}) {
      for (const int32_t id : ids) {
        if (known(id)) counts[static_cast<size_t>(id)] = 0;
      }
    }
  }
  if (p.presence_penalty == 0.0f && p.frequency_penalty == 0.0f) return;
  for (const int32_t id : request.output) {
    if (known(id)) ++counts[static_cast<size_t>(id)];
  }
  for (const int32_t id : request.output) {
    if (!known(id) || counts[static_cast<size_t>(id)] == 0) continue;
    const auto count = static_cast<float>(counts[static_cast<size_t>(id)]);
    logits[static_cast<size_t>(id)] -= count * p.frequency_penalty + p.presence_penalty;
    counts[static_cast<size_t>(id)] = 0;
  }
}

// scratch.logits = the row after penalties, bias and masks; scratch.maxima = its chunk maxima.
Status Adjust(const SampleRequest& request, SamplerScratch& scratch) {
  std::vector<float>& logits = scratch.logits;
  logits.assign(request.logits.begin(), request.logits.end());
  if (HasPenalty(*request.params)) ApplyPenalties(request, logits, scratch.counts);
  for (const auto& [id, bias] : request.params->logit_bias) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) logits[static_cast<size_t>(id)] += bias;
  }
  for (const int32_t id : request.masked_ids) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) logits[static_cast<size_t>(id)] = -kInf;
  }
  if (!ChunkMaxima(logits, scratch.maxima)) return Internal("sampling: a logit became NaN by penalties or bias");
  return OkStatus();
}

int32_t DrawInfinite(std::span<const float> logits, double u) {
  const int64_t count = std::count(logits.begin(), logits.end(), kInf);
  auto left = static_cast<int64_t>(u * static_cast<double>(count));
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == kInf && left-- == 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), kInf) - logits.begin());
}

// The first index where the running sum passes `target`; where rounding lets it fall off the end, the last weight above
// zero.
size_t Walk(std::span<const float> weights, double target) {
  double sum = 0;
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += static_cast<double>(weights[i]);
    last = i;
    if (sum > target) break;
  }
  return last;
}

// weights [V] = exp(scaled) and their sums by vocabulary chunk.
double ComputeWeights(std::span<const float> scaled, std::vector<float>& weights, std::vector<double>& sums) {
  weights.resize(scaled.size());
  sums.clear();
  double total = 0;
  for (size_t begin = 0; begin < scaled.size(); begin += kVocabChunk) {
    const size_t size = std::min<size_t>(kVocabChunk, scaled.size() - begin);
    sums.push_back(ExpSum(scaled.data() + begin, static_cast<int64_t>(size), 0.0f, weights.data() + begin));
    total += sums.back();
  }
  return total;
}

int32_t DrawFromAll(std::span<const float> weights, std::span<const double> sums, double target) {
  size_t chunk = 0;
  // Stops at the last chunk with any weight, whatever rounding says.
  size_t last = 0;
  for (; chunk < sums.size(); ++chunk) {
    if (sums[chunk] <= 0) continue;
    last = chunk;
    if (sums[chunk] > target) break;
    target -= sums[chunk];
  }
  const size_t begin = last * kVocabChunk;
  const size_t size = std::min<size_t>(kVocabChunk, weights.size() - begin);
  return static_cast<int32_t>(begin + Walk(weights.subspan(begin, size), target));
}

void KeepTopK(std::span<const float> scaled, std::span<const float> maxima, int k, std::vector<ScoredId>& out) {
  if (k <= kInsertionTopK) {
    out = TopN(scaled, maxima, k);
    return;
  }
  out.clear();
  for (size_t i = 0; i < scaled.size(); ++i) out.push_back({scaled[i], static_cast<int32_t>(i)});
  const auto size = static_cast<std::ptrdiff_t>(std::min<size_t>(static_cast<size_t>(k), out.size()));
  std::nth_element(out.begin(), out.begin() + size - 1, out.end(), MoreLikely);
  out.resize(static_cast<size_t>(size));
  std::sort(out.begin(), out.end(), MoreLikely);
}

// Cuts `items`, in any order but for the first `sorted`, to the smallest most-likely set whose weight reaches
// `wanted`, sorted. Sorts piece by piece: a nucleus is mostly a few dozen of the vocabulary.
void KeepNucleus(std::vector<ScoredId>& items, size_t sorted, std::span<const float> weights, double wanted) {
  double sum = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i == sorted) {
      const size_t end = std::min(items.size(), std::max<size_t>(64, sorted * 8));
      const auto at = [&](size_t n) { return items.begin() + static_cast<std::ptrdiff_t>(n); };
      std::nth_element(at(i), at(end - 1), items.end(), MoreLikely);
      std::sort(at(i), at(end), MoreLikely);
      sorted = end;
    }
    sum += static_cast<double>(weights[static_cast<size_t>(items[i].id)]);
    if (sum >= wanted) {
      items.resize(i + 1);
      return;
    }
  }
}

// `scratch.logits` holds (logit - max) / temperature.
int32_t DrawFiltered(const SamplingParams& p, double total, double u, SamplerScratch& scratch) {
  std::vector<ScoredId>& items = scratch.candidates;
  const std::vector<float>& weights = scratch.weights;
  size_t sorted = 0;
  if (p.top_k > 0) {
    KeepTopK(scratch.logits, scratch.maxima, p.top_k, items);
    sorted = items.size();
    total = 0;
    for (const ScoredId& item : items) total += static_cast<double>(weights[static_cast<size_t>(item.id)]);
  } else {
    // All weights up to (1 - top_p) * total / V together make less than 1 - top_p: no nucleus needs them.
    const double rest = (1.0 - static_cast<double>(p.top_p)) * total / static_cast<double>(weights.size());
    const auto bound = static_cast<float>(0.999 * rest);
    items.clear();
    for (size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] > bound) items.push_back({scratch.logits[i], static_cast<int32_t>(i)});
    }
  }
  if (p.top_p < 1.0f) KeepNucleus(items, sorted, weights, static_cast<double>(p.top_p) * total);
  // The most likely weight is 1, so min_p is a bound on the weights themselves.
  std::erase_if(items, [&](const ScoredId& item) { return weights[static_cast<size_t>(item.id)] < p.min_p; });
  total = 0;
  for (const ScoredId& item : items) total += static_cast<double>(weights[static_cast<size_t>(item.id)]);
  double sum = 0;
  int32_t chosen = items.front().id;
  for (const ScoredId& item : items) {
    const float weight = weights[static_cast<size_t>(item.id)];
    if (weight <= 0) continue;
    chosen = item.id;
    sum += static_cast<double>(weight);
    if (sum > u * total) break;
  }
  return chosen;
}

int32_t Draw(const SampleRequest& request, SamplerScratch& scratch) {
  const SamplingParams& p = *request.params;
  const double u =
      UniformDraw(p.seed, static_cast<uint32_t>(request.choice_index), static_cast<uint64_t>(request.position));
  const float top = *std::max_element(scratch.maxima.begin(), scratch.maxima.end());
  if (top == kInf) return DrawInfinite(scratch.logits, u);
  // Subtract first: then no temperature, however small, overflows.
  for (float& x : scratch.logits) x = (x - top) / p.temperature;
  for (float& x : scratch.maxima) x = (x - top) / p.temperature;
  std::vector<double> sums;
  const double total = ComputeWeights(scratch.logits, scratch.weights, sums);
  if (p.top_k > 0 || p.top_p < 1.0f || p.min_p > 0.0f) return DrawFiltered(p, total, u, scratch);
  return DrawFromAll(scratch.weights, sums, u * total);
}

void Describe(std::span<const float> logits, std::span<const float> maxima, int top_n, SampleResult& result) {
  const LogNormalizer normalizer = ComputeLogNormalizer(logits, maxima);
  result.logprob = normalizer.LogProb(logits[static_cast<size_t>(result.token_id)]);
  result.rank = RankOf(logits, result.token_id);
  int rank = 0;
  for (const ScoredId& item : TopN(logits, maxima, top_n)) {
    result.top.push_back({item.id, normalizer.LogProb(item.logit), ++rank});
  }
}

StatusOr<int32_t> Choose(const SampleRequest& request, SamplerScratch& scratch) {
  const bool greedy = request.params->temperature == 0.0f;
  const bool adjusted = IsAdjusted(request);
  if (adjusted || !greedy) RETURN_IF_ERROR(Adjust(request, scratch));
  const float top = *std::max_element(scratch.maxima.begin(), scratch.maxima.end());
  if (top == -kInf) return Internal("sampling: no token is possible (every logit is -inf or masked)");
  if (greedy) return ArgMax(adjusted ? std::span<const float>(scratch.logits) : request.logits, scratch.maxima);
  return Draw(request, scratch);
}

}  // namespace

StatusOr<SampleResult> Sample(const SampleRequest& request, SamplerScratch& scratch) {
  BITRATE_CHECK(request.params != nullptr && !request.logits.empty());
  if (!ChunkMaxima(request.logits, scratch.maxima)) return Internal("sampling: a logit is NaN");
  const std::vector<float> raw_maxima = request.top_logprobs >= 0 ? scratch.maxima : std::vector<float>();
  SampleResult result;
  ASSIGN_OR_RETURN(result.token_id, Choose(request, scratch));
  if (request.top_logprobs >= 0) Describe(request.logits, raw_maxima, request.top_logprobs, result);
  return result;
}

StatusOr<SampleResult> ScoreToken(std::span<const float> logits, int32_t token_id, int top_n) {
  if (token_id < 0 || static_cast<size_t>(token_id) >= logits.size()) {
    return InvalidArgument("token id: got {}, wanted 0 to {}", token_id, static_cast<int64_t>(logits.size()) - 1);
  }
  std::vector<float> maxima;
  if (!ChunkMaxima(logits, maxima)) return Internal("scoring: a logit is NaN");
  SampleResult result;
  result.token_id = token_id;
  Describe(logits, maxima, top_n, result);
  return result;
}

}  // namespace bitrate
