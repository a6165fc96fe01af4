#include "tests/golden/model/quality.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/sampling/row_stats.h"

namespace bitrate::golden {
namespace {

constexpr size_t kChunk = 128;

// A row of the reference, with what comparing against it needs.
struct ReferenceRow {
  std::vector<float> logits, weights;  // weights = exp(logit - max)
  LogNormalizer normalizer;
  double weight_sum = 0;
  int32_t top = 0;
};

ReferenceRow MakeReference(std::span<const float> logits) {
  ReferenceRow row;
  row.logits.assign(logits.begin(), logits.end());
  std::vector<float> maxima;
  EXPECT_TRUE(ChunkMaxima(logits, maxima));
  row.top = ArgMax(logits, maxima);
  row.normalizer = ComputeLogNormalizer(logits, maxima);
  row.weights.resize(logits.size());
  const float max = logits[static_cast<size_t>(row.top)];
  for (size_t i = 0; i < logits.size(); i += kVocabChunk) {
    const auto size = std::min<int64_t>(kVocabChunk, static_cast<int64_t>(logits.size() - i));
    row.weight_sum += ExpSum(&logits[i], size, max, &row.weights[i]);
  }
  return row;
}

struct Sums {
  double nll = 0, kld = 0;
  int64_t scored = 0, positions = 0, same_top = 0;
};

// `next` is the token that follows, or -1 at the end of a window.
void Compare(const ReferenceRow& reference, std::span<const float> logits, int32_t next, Sums& sums) {
  std::vector<float> maxima;
  ASSERT_TRUE(ChunkMaxima(logits, maxima));
  const LogNormalizer normalizer = ComputeLogNormalizer(logits, maxima);
  double weighted = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    weighted += static_cast<double>(reference.weights[i]) * static_cast<double>(reference.logits[i] - logits[i]);
  }
  sums.kld += weighted / reference.weight_sum - reference.normalizer.log_sum_exp + normalizer.log_sum_exp;
  sums.same_top += ArgMax(logits, maxima) == reference.top ? 1 : 0;
  ++sums.positions;
  if (next < 0) return;
  sums.nll -= normalizer.LogProb(logits[static_cast<size_t>(next)]);
  ++sums.scored;
}

}  // namespace

std::vector<Quality> MeasureQuality(Machine& machine, const Checkpoint& checkpoint,
                                    const std::vector<std::string>& precisions,
                                    const std::vector<std::vector<int32_t>>& windows,
                                    const std::string& reference_precision) {
  WeightStore store;
  std::vector<ModelPtr> models = {LoadModel(machine, checkpoint, reference_precision, &store)};
  for (const std::string& precision : precisions) models.push_back(LoadModel(machine, checkpoint, precision, &store));
  if (std::count(models.begin(), models.end(), nullptr) > 0) return {};
  std::vector<Sums> sums(models.size());
  for (const std::vector<int32_t>& window : windows) {
    const std::span<const int32_t> ids(window);
    std::vector<Sequence> sequences;
    for (const ModelPtr& model : models) {
      sequences.emplace_back(machine, model, static_cast<int64_t>(ids.size()), static_cast<int64_t>(kChunk));
    }
    for (size_t begin = 0; begin < ids.size(); begin += kChunk) {
      const std::span<const int32_t> part = ids.subspan(begin, std::min(kChunk, ids.size() - begin));
      std::vector<ReferenceRow> reference;
      for (size_t m = 0; m < models.size(); ++m) {
        sequences[m].Append(part, [&](int64_t position, std::span<const float> logits) {
          const auto p = static_cast<size_t>(position);
          if (m == 0) reference.push_back(MakeReference(logits));
          Compare(reference[p - begin], logits, p + 1 < ids.size() ? ids[p + 1] : -1, sums[m]);
        });
      }
    }
  }
  std::vector<Quality> out;
  for (size_t m = 1; m < models.size(); ++m) {
    const auto positions = static_cast<double>(sums[m].positions);
    out.push_back({precisions[m - 1], models[m]->weight_bits(),
                   std::exp((sums[m].nll - sums[0].nll) / static_cast<double>(sums[m].scored)), sums[m].kld / positions,
                   static_cast<double>(sums[m].same_top) / positions});
  }
  return out;
}

}  // namespace bitrate::golden
