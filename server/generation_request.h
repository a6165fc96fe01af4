// The one internal form of "continue this prompt", whatever door it came through. Plain data.
#ifndef BITRATE_SERVER_GENERATION_REQUEST_H_
#define BITRATE_SERVER_GENERATION_REQUEST_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/sampling/sampling_params.h"

namespace bitrate {

struct ChatTurn {
  std::string role;
  std::string content;
  std::string name;             // empty = none
  std::string tool_calls_json;  // empty = none
  std::string tool_call_id;     // empty = none
};

struct ChatRequest {
  std::vector<ChatTurn> messages;
  std::string tools_json;  // empty = none
  nlohmann::json kwargs;   // object or null
  bool add_generation_prompt = true;
};

using Prompt = std::variant<std::monostate, std::string, std::vector<int32_t>, ChatRequest>;

// Who asks and how it is to be routed.
struct RequestTarget {
  std::string model;    // "model" or "model:variant"; empty = the default
  std::string variant;  // empty = routed
  std::string experiment;
  std::string unit;
};

struct RequestContext {
  std::string_view api;     // "grpc": a literal
  std::string_view method;  // "Generate": a literal
  std::string request_id;   // never empty once admitted
  std::string traceparent;
  std::string peer;
  TimePoint arrival{};
  TimePoint deadline = kNoDeadline;
};

struct GenerationRequest {
  RequestContext context;
  RequestTarget target;
  Prompt prompt;
  SamplingParams sampling;
  bool has_seed = false;  // false: one is drawn
  StopParams stop;
  LogprobParams logprobs;
  int64_t n = 1;
  int64_t priority = 1;
  std::optional<Duration> max_queue_time;
  std::map<std::string, std::string> labels;
  std::optional<bool> add_special_tokens;
  std::string cache_salt;
  bool use_prefix_cache = true;
};

// The checks that need no model: n, priority, labels, ids, prompt present. Every bad field at once.
Status ValidateRequest(const GenerationRequest& request);
Status ValidateTarget(const RequestTarget& target, const RequestContext& context);

// At most kMaxIdBytes printable ASCII characters; `field` names it in the error.
Status ValidateId(std::string_view field, std::string_view id);

}  // namespace bitrate

#endif  // BITRATE_SERVER_GENERATION_REQUEST_H_
