// One prompt, greedily, on several variants of a model, one after another so that each one's latency is its own: the
// reference first, then for each other variant its own run and a teacher-forced one over the reference's tokens.
//
// A variant that fails is a result with an error; only the reference's failure ends the comparison.
// Thread rule and errors as in generation.h.
#ifndef BITRATE_SERVER_COMPARISON_H_
#define BITRATE_SERVER_COMPARISON_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/generation.h"

namespace bitrate {

struct CompareCallRequest {
  RequestContext context;
  std::string model;  // or "model+adapter": the adapter on every variant
  Prompt prompt;
  std::vector<std::string> variants;  // empty = every ready one
  std::string reference_variant;      // empty = the model's, else the most precise
  std::optional<int64_t> max_tokens;  // unset = 64, or what the context leaves
  std::optional<bool> add_special_tokens;
  bool ignore_eos = false;
};

struct CompareStart {
  std::string model;
  std::string reference;
  std::vector<std::string> variants;  // the reference first
  int prompt_tokens = 0;
};

struct CompareVariantResult {
  std::string variant;
  std::string precision;
  bool is_reference = false;
  Status error;  // then nothing below is set
  std::string text;
  std::vector<int32_t> token_ids;
  FinishReason finish = FinishReason::kNone;
  std::optional<int> first_divergence;
  double top1_agreement = 1;
  double mean_logprob_gap = 0;  // logprob(reference) - logprob(this), nats
  double max_abs_logprob_gap = 0;
  RequestTotals totals;  // of its own greedy run
};

class CompareListener {
 public:
  virtual ~CompareListener() = default;
  virtual void OnStart(const CompareStart& start) = 0;
  virtual void OnResult(const CompareVariantResult& result) = 0;
  // Last, once. `totals.device_seconds` holds everything, teacher forcing included.
  virtual void OnEnd(const Status& status, int num_failed, const RequestTotals& totals) = 0;
};

std::shared_ptr<CallHandle> StartCompare(GenerationService* service, CompareCallRequest request,
                                         std::shared_ptr<CompareListener> listener);

// First place where `tokens` differs from `reference`, its end included; nullopt when they are the same.
std::optional<int> FirstDivergence(const std::vector<int32_t>& reference, const std::vector<int32_t>& tokens);

}  // namespace bitrate

#endif  // BITRATE_SERVER_COMPARISON_H_
