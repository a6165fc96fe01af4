#include "engine/sampling/row_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace bitrate {
namespace {

// GCC unrolls loops of up to 16 trips completely, before its vectoriser sees them: 64 stays a loop.
constexpr int kLanes = 64;
constexpr float kNegInf = -std::numeric_limits<float>::infinity();

// exp(x) for x <= 0: 2^n * p(r), r in [-ln2/2, ln2/2], Taylor to degree 7 (relative error below 1e-8 before rounding).
// No branch and no libm call, so a loop over it vectorises. Below -87 the result is 0.
inline float ExpNonPositive(float x) {
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kLn2Hi = 0.693359375f;  // few mantissa bits: n * kLn2Hi is exact
  constexpr float kLn2Lo = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
  // Clamped as integers, which order numbers of one sign by magnitude: a comparison of floats would become a branch,
  // and a loop with a branch is not vectorised.
  const auto sign_set = static_cast<int32_t>(std::bit_cast<uint32_t>(x) | 0x80000000u);
  const auto clamped = std::bit_cast<float>(std::min(sign_set, std::bit_cast<int32_t>(-87.0f)));
  const float biased = clamped * kLog2e + kRound;
  const float n = biased - kRound;
  const float r = (clamped - n * kLn2Hi) - n * kLn2Lo;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // The integer n sits in the low bits of `biased`; shifted into the exponent it scales by 2^n.
  const auto bits = std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(biased) << 23);
  const int32_t below = std::bit_cast<int32_t>(x + 87.0f) >> 31;
  return std::bit_cast<float>(bits & ~static_cast<uint32_t>(below));
}

struct Chunk {
  const float* data;
  int64_t size;
};

Chunk ChunkAt(std::span<const float> logits, size_t index) {
  const auto begin = static_cast<int64_t>(index) * kVocabChunk;
  return {logits.data() + begin, std::min(kVocabChunk, static_cast<int64_t>(logits.size()) - begin)};
}

// Maximum of the chunk; NaN found sets `nan`.
float ChunkMax(Chunk chunk, bool& nan) {
  float lane_max[kLanes];
  uint32_t lane_nan[kLanes] = {};
  std::fill(lane_max, lane_max + kLanes, kNegInf);
  int64_t i = 0;
  for (; i + kLanes <= chunk.size; i += kLanes) {
    const float* x = chunk.data + i;
    for (int l = 0; l < kLanes; ++l) {
      lane_max[l] = x[l] > lane_max[l] ? x[l] : lane_max[l];
      lane_nan[l] |= x[l] != x[l] ? 1u : 0u;
    }
  }
  for (; i < chunk.size; ++i) {
    const auto l = static_cast<size_t>(i % kLanes);
    lane_max[l] = chunk.data[i] > lane_max[l] ? chunk.data[i] : lane_max[l];
    lane_nan[l] |= chunk.data[i] != chunk.data[i] ? 1u : 0u;
  }
  for (const uint32_t flag : lane_nan) nan = nan || flag != 0;
  return *std::max_element(lane_max, lane_max + kLanes);
}

// Of the elements of x [count] those for which test(x[i]) holds.
template <typename Test>
int64_t CountIf(const float* x, int64_t count, Test test) {
  int32_t lanes[kLanes] = {};
  int64_t i = 0, total = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += test(x[i + l]) ? 1 : 0;
  }
  for (; i < count; ++i) total += test(x[i]) ? 1 : 0;
  for (const int32_t lane : lanes) total += lane;
  return total;
}

}  // namespace

bool ChunkMaxima(std::span<const float> logits, std::vector<float>& maxima) {
  maxima.clear();
  bool nan = false;
  const size_t chunks = (logits.size() + kVocabChunk - 1) / kVocabChunk;
  for (size_t c = 0; c < chunks; ++c) maxima.push_back(ChunkMax(ChunkAt(logits, c), nan));
  return !nan;
}

int32_t ArgMax(std::span<const float> logits, std::span<const float> maxima) {
  const auto best = std::max_element(maxima.begin(), maxima.end());  // the first of the largest
  const auto c = static_cast<size_t>(best - maxima.begin());
  const Chunk chunk = ChunkAt(logits, c);
  const float* found = std::find(chunk.data, chunk.data + chunk.size, *best);
  return static_cast<int32_t>(found - logits.data());
}

float LogNormalizer::LogProb(float logit) const {
  if (num_infinite > 0) {
    return logit == std::numeric_limits<float>::infinity()
               ? static_cast<float>(-std::log(static_cast<double>(num_infinite)))
               : kNegInf;
  }
  return static_cast<float>(static_cast<double>(logit) - log_sum_exp);
}

double ExpSum(const float* x, int64_t count, float shift, float* out) {
  float lanes[kLanes] = {};
  float block[kLanes];
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      block[l] = ExpNonPositive(x[i + l] - shift);
      lanes[l] += block[l];
    }
    if (out != nullptr) std::copy(block, block + kLanes, out + i);
  }
  for (; i < count; ++i) {
    const float e = ExpNonPositive(x[i] - shift);
    lanes[i % kLanes] += e;
    if (out != nullptr) out[i] = e;
  }
  double sum = 0;
  for (const float lane : lanes) sum += static_cast<double>(lane);
  return sum;
}

LogNormalizer ComputeLogNormalizer(std::span<const float> logits, std::span<const float> maxima) {
  LogNormalizer result;
  const float top = *std::max_element(maxima.begin(), maxima.end());
  if (top == std::numeric_limits<float>::infinity()) {
    result.num_infinite =
        CountIf(logits.data(), static_cast<int64_t>(logits.size()), [top](float x) { return x == top; });
    return result;
  }
  double sum = 0;
  for (size_t c = 0; c < maxima.size(); ++c) {
    if (maxima[c] == kNegInf) continue;
    const Chunk chunk = ChunkAt(logits, c);
    sum += ExpSum(chunk.data, chunk.size, maxima[c], nullptr) *
           std::exp(static_cast<double>(maxima[c]) - static_cast<double>(top));
  }
  result.log_sum_exp = static_cast<double>(top) + std::log(sum);
  return result;
}

int RankOf(std::span<const float> logits, int32_t id) {
  const float logit = logits[static_cast<size_t>(id)];
  int64_t before = CountIf(logits.data(), static_cast<int64_t>(logits.size()), [logit](float x) { return x > logit; });
  before += CountIf(logits.data(), id, [logit](float x) { return x == logit; });
  return static_cast<int>(before) + 1;
}

std::vector<ScoredId> TopN(std::span<const float> logits, std::span<const float> maxima, int n) {
  std::vector<ScoredId> top;
  if (n <= 0) return top;
  const auto wanted = static_cast<size_t>(n);
  top.reserve(wanted + 1);
  for (size_t c = 0; c < maxima.size(); ++c) {
    // Ids ascend, so a logit that only equals the last of a full list is less likely than all of it.
    if (top.size() == wanted && !(maxima[c] > top.back().logit)) continue;
    const Chunk chunk = ChunkAt(logits, c);
    for (int64_t i = 0; i < chunk.size; ++i) {
      if (top.size() == wanted && !(chunk.data[i] > top.back().logit)) continue;
      const ScoredId item = {chunk.data[i], static_cast<int32_t>(&chunk.data[i] - logits.data())};
      top.insert(std::upper_bound(top.begin(), top.end(), item, MoreLikely), item);
      if (top.size() > wanted) top.pop_back();
    }
  }
  return top;
}

}  // namespace bitrate
