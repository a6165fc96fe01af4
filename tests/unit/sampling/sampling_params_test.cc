#include "engine/sampling/sampling_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "engine/base/limits.h"

namespace bitrate {
namespace {

using testing::StartsWith;

struct All {
  SamplingParams sampling;
  StopParams stop;
  LogprobParams logprobs;
};

Status Validate(const std::function<void(All&)>& change) {
  All all;
  change(all);
  return ValidateSampling(all.sampling, all.stop, all.logprobs, 100);
}

TEST(ValidateSampling, DefaultsAndLimitsPass) {
  EXPECT_TRUE(Validate([](All&) {}).ok());
  EXPECT_TRUE(Validate([](All& a) {
                a.sampling.temperature = 0;
                a.sampling.min_p = 1;
                a.sampling.presence_penalty = -2;
                a.sampling.frequency_penalty = 2;
                a.sampling.logit_bias = {{0, 100.0f}, {99, -100.0f}};
                a.stop.max_tokens = 0;
                a.stop.stop.assign(limits::kMaxStopStrings, std::string(limits::kMaxStopStringBytes, 'x'));
                a.stop.stop_token_ids.assign(limits::kMaxStopTokenIds, 99);
                a.logprobs.output_top_n = limits::kMaxTopLogprobs;
                a.logprobs.prompt_top_n = 0;
              }).ok());
  EXPECT_TRUE(Validate([](All& a) {
                for (int i = 0; i < 100; ++i) a.sampling.logit_bias.emplace_back(i, 0.5f);
              }).ok());
}

TEST(ValidateSampling, NamesTheField) {
  const float nan = std::nanf("");
  const std::vector<std::pair<std::string, std::function<void(All&)>>> cases = {
      {"sampling.temperature", [](All& a) { a.sampling.temperature = -0.1f; }},
      {"sampling.temperature", [&](All& a) { a.sampling.temperature = nan; }},
      {"sampling.temperature", [](All& a) { a.sampling.temperature = 101; }},
      {"sampling.top_p", [](All& a) { a.sampling.top_p = 0; }},
      {"sampling.top_p", [](All& a) { a.sampling.top_p = 1.01f; }},
      {"sampling.top_p", [&](All& a) { a.sampling.top_p = nan; }},
      {"sampling.top_k", [](All& a) { a.sampling.top_k = -1; }},
      {"sampling.min_p", [](All& a) { a.sampling.min_p = 1.1f; }},
      {"sampling.repetition_penalty", [](All& a) { a.sampling.repetition_penalty = 0; }},
      {"sampling.repetition_penalty", [](All& a) { a.sampling.repetition_penalty = INFINITY; }},
      {"sampling.presence_penalty", [](All& a) { a.sampling.presence_penalty = 2.1f; }},
      {"sampling.frequency_penalty", [](All& a) { a.sampling.frequency_penalty = -2.1f; }},
      {"sampling.logit_bias",
       [](All& a) {
         a.sampling.logit_bias = {{100, 1.0f}};
       }},
      {"sampling.logit_bias",
       [](All& a) {
         a.sampling.logit_bias = {{-1, 1.0f}};
       }},
      {"sampling.logit_bias",
       [&](All& a) {
         a.sampling.logit_bias = {{1, nan}};
       }},
      {"sampling.logit_bias",
       [](All& a) {
         a.sampling.logit_bias = {{1, 1.0f}, {1, 2.0f}};
       }},
      {"sampling.logit_bias",
       [](All& a) {
         a.sampling.logit_bias.assign(limits::kMaxLogitBias + 1, {1, 0.0f});
       }},
      {"stop.max_tokens", [](All& a) { a.stop.max_tokens = -1; }},
      {"stop.min_tokens", [](All& a) { a.stop.min_tokens = -1; }},
      {"stop.min_tokens", [](All& a) { a.stop.max_tokens = 3, a.stop.min_tokens = 4; }},
      {"stop.stop", [](All& a) { a.stop.stop = {""}; }},
      {"stop.stop", [](All& a) { a.stop.stop.assign(limits::kMaxStopStrings + 1, "x"); }},
      {"stop.stop", [](All& a) { a.stop.stop = {std::string(limits::kMaxStopStringBytes + 1, 'x')}; }},
      {"stop.stop_token_ids", [](All& a) { a.stop.stop_token_ids = {100}; }},
      {"stop.stop_token_ids", [](All& a) { a.stop.stop_token_ids.assign(limits::kMaxStopTokenIds + 1, 1); }},
      {"logprobs.output_top_n", [](All& a) { a.logprobs.output_top_n = limits::kMaxTopLogprobs + 1; }},
      {"logprobs.output_top_n", [](All& a) { a.logprobs.output_top_n = -2; }},
      {"logprobs.prompt_top_n", [](All& a) { a.logprobs.prompt_top_n = 21; }},
  };
  for (const auto& [field, change] : cases) {
    const Status status = Validate(change);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), StartsWith(field + ": got "));
  }
}

}  // namespace
}  // namespace bitrate
