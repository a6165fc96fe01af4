// The real-model goldens of tests/golden/smollm2 and the model they were made from.
#ifndef BITRATE_TESTS_GOLDEN_MODEL_SMOLLM2_DATA_H_
#define BITRATE_TESTS_GOLDEN_MODEL_SMOLLM2_DATA_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/artifact/checkpoint.h"

namespace bitrate::golden {

// nullptr, and the running test fails, where the file is not there: `./test.sh` fetches it.
std::shared_ptr<const Checkpoint> OpenSmolLm2();

// prompts.json, ppl.json or loglikelihood.json.
nlohmann::json SmolLm2Golden(const std::string& file);

// The perplexity text of ppl.json in windows of 512 tokens, each scored alone; the last is short.
std::vector<std::vector<int32_t>> PerplexityWindows();

}  // namespace bitrate::golden

#endif  // BITRATE_TESTS_GOLDEN_MODEL_SMOLLM2_DATA_H_
