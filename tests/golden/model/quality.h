// What a precision loses against fp32 (or another reference) of the same checkpoint, measured through the serving
// kernels on real text.
#ifndef BITRATE_TESTS_GOLDEN_MODEL_QUALITY_H_
#define BITRATE_TESTS_GOLDEN_MODEL_QUALITY_H_

#include <string>
#include <vector>

#include "tests/golden/model/harness.h"

namespace bitrate::golden {

struct Quality {
  std::string precision;
  double weight_bits = 0;
  double ppl_ratio = 0;  // perplexity / perplexity of fp32
  double mean_kld = 0;   // KL(fp32 || precision), nats a token, over all positions
  double same_top1 = 0;  // share of positions with fp32's argmax
};

// Against `reference`, fp32 where nothing else is said. `windows` of tokens, each scored alone; the first token of a
// window is context only.
std::vector<Quality> MeasureQuality(Machine& machine, const Checkpoint& checkpoint,
                                    const std::vector<std::string>& precisions,
                                    const std::vector<std::vector<int32_t>>& windows,
                                    const std::string& reference = "fp32");

}  // namespace bitrate::golden

#endif  // BITRATE_TESTS_GOLDEN_MODEL_QUALITY_H_
