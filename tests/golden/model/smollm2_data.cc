#include "tests/golden/model/smollm2_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace bitrate::golden {

std::shared_ptr<const Checkpoint> OpenSmolLm2() {
  const std::string path = std::string(BITRATE_MODEL_DIR) + "/SmolLM2-135M-Instruct.Q4_1.gguf";
  StatusOr<std::shared_ptr<const Checkpoint>> checkpoint = Checkpoint::Open(path);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status() << "\nThis test needs the real model; ./test.sh fetches it.";
  return checkpoint.ok() ? *checkpoint : nullptr;
}

nlohmann::json SmolLm2Golden(const std::string& file) {
  std::ifstream in(std::string(BITRATE_GOLDEN_DIR) + "/smollm2/" + file);
  nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
  EXPECT_TRUE(json.is_object()) << file;
  return json;
}

std::vector<std::vector<int32_t>> PerplexityWindows() {
  constexpr size_t kWindow = 512;
  const auto ids = SmolLm2Golden("ppl.json")["ids"].get<std::vector<int32_t>>();
  std::vector<std::vector<int32_t>> windows;
  for (size_t begin = 0; begin < ids.size(); begin += kWindow) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    windows.emplace_back(first, first + static_cast<std::ptrdiff_t>(std::min(kWindow, ids.size() - begin)));
  }
  return windows;
}

}  // namespace bitrate::golden
