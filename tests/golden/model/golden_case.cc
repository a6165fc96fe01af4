#include "tests/golden/model/golden_case.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/artifact/safetensors_file.h"

namespace bitrate::golden {

GoldenCase LoadCase(const std::string& name) {
  GoldenCase out;
  const std::string root = std::string(BITRATE_GOLDEN_DIR) + "/";
  const bool converted = name.starts_with("gguf_arch/");
  const std::string folder = root + (converted ? "arch" + name.substr(name.find('/')) : name);
  std::ifstream in(folder + "/case.json");
  const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
  EXPECT_TRUE(json.is_object()) << folder << "/case.json";
  if (!json.is_object()) return out;
  out.prompt_ids = json["prompt_ids"].get<std::vector<int32_t>>();
  out.greedy_ids = json["greedy_ids"].get<std::vector<int32_t>>();
  out.logit_std = json["logit_std"].get<double>();
  StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(converted ? root + name + ".gguf" : folder + "/" + json["model"].get<std::string>());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  if (checkpoint.ok()) out.checkpoint = *checkpoint;
  const auto file = SafetensorsFile::Open(folder + "/logits.safetensors");
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return out;
  StatusOr<std::vector<float>> logits = (*file)->Floats("logits");
  EXPECT_TRUE(logits.ok()) << logits.status();
  if (logits.ok()) out.logits = *std::move(logits);
  StatusOr<std::vector<float>> first = (*file)->Floats("logits_first12");
  if (first.ok()) out.logits_first12 = *std::move(first);
  return out;
}

double MaxAbsDiff(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double diff = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(diff <= worst)) worst = std::isnan(diff) ? std::numeric_limits<double>::infinity() : diff;
  }
  return worst;
}

}  // namespace bitrate::golden
