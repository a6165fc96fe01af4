#include "engine/runtime/stop_checker.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/sampling/stop_criteria.h"
#include "engine/text/detokenizer.h"

namespace bitrate {

struct StopChecker::Text {
  Text(const StopParams& params, std::shared_ptr<const Tokenizer> tokenizer)
      : stops(params.stop), detokenizer(std::move(tokenizer)), matcher(params.stop, params.include_stop_str) {}
  std::vector<std::string> stops;
  IncrementalDetokenizer detokenizer;
  StopMatcher matcher;
};

StopChecker::StopChecker(const StopParams& params, std::span<const int32_t> eos_ids, int64_t max_output,
                         std::shared_ptr<const Tokenizer> tokenizer)
    : min_tokens_(params.min_tokens), max_output_(max_output), stop_ids_(params.stop_token_ids) {
  if (!params.ignore_eos) eos_ids_.assign(eos_ids.begin(), eos_ids.end());
  std::sort(eos_ids_.begin(), eos_ids_.end());
  std::sort(stop_ids_.begin(), stop_ids_.end());
  if (min_tokens_ > 0) {
    std::set_union(eos_ids_.begin(), eos_ids_.end(), stop_ids_.begin(), stop_ids_.end(), std::back_inserter(masked_));
  }
  if (!params.stop.empty()) {
    BITRATE_CHECK(tokenizer != nullptr);
    text_ = std::make_unique<Text>(params, std::move(tokenizer));
  }
}

StopChecker::StopChecker(StopChecker&&) noexcept = default;
StopChecker& StopChecker::operator=(StopChecker&&) noexcept = default;
StopChecker::~StopChecker() = default;

StopChecker::Verdict StopChecker::OnToken(int32_t token, int64_t num_output) {
  if (std::binary_search(eos_ids_.begin(), eos_ids_.end(), token)) return {FinishReason::kEos, ""};
  if (std::binary_search(stop_ids_.begin(), stop_ids_.end(), token)) return {FinishReason::kStopToken, ""};
  if (text_ != nullptr) {
    text_->matcher.Push(text_->detokenizer.Push(token), /*armed=*/num_output >= min_tokens_);
    if (text_->matcher.matched()) return {FinishReason::kStopString, text_->stops[text_->matcher.matched_index()]};
  }
  if (num_output >= max_output_) return {FinishReason::kLength, ""};
  return {};
}

}  // namespace bitrate
